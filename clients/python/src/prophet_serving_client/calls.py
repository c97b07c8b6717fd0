"""A call as steps, without I/O: what to send and how long to wait, until there is an answer or an error.

The two clients drive the same steps, each in its own way of sending and waiting.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prophet_serving_client.contract import Problem, is_problem
from prophet_serving_client.errors import (
    OF_STATUS,
    ClientTimeoutError,
    ForecastError,
    InvalidAnswerError,
    StatusError,
    UnreachableError,
)
from prophet_serving_client.options import Attempt, CallOptions, Patience, checked_key, checked_request_id
from prophet_serving_client.retry import PASSING, pause, retry_after


@dataclass(frozen=True)
class Send:
    """Send this and give back an Answer or a Miss, within `timeout` seconds."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    timeout: float


@dataclass(frozen=True)
class Wait:
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """A whole answer; the names of its headers are looked up without their case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Miss:
    """No whole answer: too late, or for the reason in cause."""

    late: bool
    cause: Exception


Steps = Generator[Send | Wait, Answer | Miss | None, Any]


@dataclass(frozen=True)
class Caller:
    """What all calls of a client have in common."""

    base_url: str
    patience: Patience
    headers: Mapping[str, str]
    on_attempt: Callable[[Attempt], None] | None

    def steps(self, method: str, path: str, body: Any, key: str | None, options: CallOptions) -> Steps:
        """The steps of one call; returns the JSON of a success, raises ForecastError."""
        patience = self.patience.but(options)
        deadline = time.monotonic() + patience.budget
        request_id = checked_request_id(options.get("request_id"))
        headers = {
            "Accept": "application/json, application/problem+json",
            **self.headers,
            **options.get("headers", {}),
            "X-Request-Id": request_id,
        }
        if key is not None:
            headers["Authorization"] = f"Bearer {checked_key(key)}"
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()

        for attempt in range(1, patience.retries + 2):
            started = time.monotonic()
            timeout = min(patience.timeout, deadline - started)
            reply = yield Send(method, self.base_url + path, headers, content, timeout)
            assert reply is not None
            outcome = _judge(reply, request_id, attempt, timeout)
            now = time.monotonic()
            rest = None
            if isinstance(outcome, _Failure) and outcome.again and attempt <= patience.retries:
                seconds = pause(attempt - 1, outcome.asked, random.random())
                rest = seconds if now + seconds < deadline else None
            if self.on_attempt is not None:
                status = reply.status if isinstance(reply, Answer) else None
                error = outcome.error if isinstance(outcome, _Failure) else None
                self.on_attempt(Attempt(method, path, request_id, attempt, status, error, now - started, rest))
            if not isinstance(outcome, _Failure):
                return outcome
            if rest is None:
                raise outcome.error
            yield Wait(rest)
        raise AssertionError("the last attempt answers or raises")


@dataclass(frozen=True)
class _Failure:
    error: ForecastError
    again: bool
    asked: float | None = None


def _judge(reply: Answer | Miss, request_id: str, attempt: int, timeout: float) -> Any | _Failure:
    """The JSON of a success, or a failure."""
    if isinstance(reply, Miss):
        kind = ClientTimeoutError if reply.late else UnreachableError
        message = f"no answer within {timeout:.3g} s" if reply.late else f"no answer: {reply.cause!r}"
        missed = kind(message, request_id=request_id, attempts=attempt)
        missed.__cause__ = reply.cause
        return _Failure(missed, again=True)
    request_id = reply.headers.get("x-request-id", request_id)
    is_json = re.match(r"application/([\w.-]+\+)?json\b", reply.headers.get("content-type", ""), re.IGNORECASE)
    body = _parsed(reply.body) if is_json else None
    if not 200 <= reply.status < 300:
        asked = retry_after(reply.headers, datetime.now(UTC))
        problem: Problem | None = body if is_problem(body) else None
        error = OF_STATUS.get(reply.status, StatusError)(
            reply.status, problem, asked, request_id=request_id, attempts=attempt
        )
        return _Failure(error, again=reply.status in PASSING, asked=asked)
    if isinstance(body, dict):
        return body
    # Broken JSON is an answer that was cut off somewhere; another type is an answer of somebody else.
    message = "the answer is broken JSON" if is_json else "the answer is not JSON: does base_url lead to the service?"
    return _Failure(InvalidAnswerError(message, request_id=request_id, attempts=attempt), again=bool(is_json))


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
