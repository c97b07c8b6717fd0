"""Refusals as RFC 9457 problems: which status each stable code has, and what the body says."""

from __future__ import annotations

import math
from http import HTTPStatus

from pydantic import ValidationError
from starlette.responses import Response

from serving.outcomes import Code, Refusal, Refused
from serving.schemas import Fault, Problem

STATUSES: dict[Code, HTTPStatus] = {
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "malformed_json": HTTPStatus.BAD_REQUEST,
    "invalid_request": HTTPStatus.BAD_REQUEST,
    "invalid_history": HTTPStatus.BAD_REQUEST,
    "too_few_points": HTTPStatus.BAD_REQUEST,
    "unfittable_history": HTTPStatus.BAD_REQUEST,
    "unknown_segment": HTTPStatus.NOT_FOUND,
    "no_champion": HTTPStatus.NOT_FOUND,
    "unknown_version": HTTPStatus.NOT_FOUND,
    "not_found": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "not_acceptable": HTTPStatus.NOT_ACCEPTABLE,
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "model_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "registry_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
    "timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
}
TITLES: dict[Code, str] = {
    "unauthenticated": "Nobody is let in without a valid key",
    "forbidden": "This is not for this caller",
    "rate_limited": "Too many requests",
    "malformed_json": "The body is not JSON",
    "invalid_request": "The request is not valid",
    "invalid_history": "The history has faults",
    "too_few_points": "The history has fewer than two points",
    "unfittable_history": "The history cannot be fitted",
    "unknown_segment": "No such segment",
    "no_champion": "The segment has no champion",
    "unknown_version": "No such version",
    "not_found": "No such path",
    "method_not_allowed": "The path does not take this method",
    "not_acceptable": "No answer of this kind",
    "body_too_large": "The body is too large",
    "model_unavailable": "The model cannot be used",
    "registry_unavailable": "The registry does not answer",
    "overloaded": "The service is overloaded",
    "timeout": "The forecast took too long",
    "internal_error": "The service failed",
}
RETRY_AFTER_SECONDS = 2
_MOST_COUNTED = 1000  # beyond it faults are not written out: a body can hold two million
_MOST_FAULTS = 20  # a body with ten thousand bad rows gets no answer of ten thousand lines


def as_problem(refusal: Refusal) -> Problem:
    """Write a refusal as a problem document."""
    return Problem(
        title=TITLES[refusal.code],
        status=STATUSES[refusal.code],
        detail=refusal.detail,
        code=refusal.code,
        errors=list(refusal.faults[:_MOST_FAULTS]),
    )


def problem_response(refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
    """Answer with a problem, with Retry-After where trying again may help, and with how to be let in."""
    problem = as_problem(refusal)
    headers = dict(headers or {})
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(refusal.retry_after))
    elif problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(problem.model_dump_json(), problem.status, headers=headers, media_type="application/problem+json")


def from_validation(error: ValidationError) -> Refused:
    """Turn pydantic's findings into a refusal that gives each fault's place; the input itself is not repeated."""
    if error.error_count() > _MOST_COUNTED:
        return Refused("invalid_request", f"the body has {error.error_count()} faults, too many to list")
    findings = error.errors(include_url=False, include_context=False, include_input=False)
    if findings[0]["type"] == "json_invalid":
        return Refused("malformed_json", findings[0]["msg"])
    faults = tuple(
        Fault(place=".".join(str(step) for step in finding["loc"]), message=finding["msg"]) for finding in findings
    )
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Refused("invalid_request", f"{first.place or 'body'}: {first.message}{more}", faults)
