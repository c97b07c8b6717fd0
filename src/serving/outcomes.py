"""What comes of one request, as a value: a forecast, or why there is none. Inside a batch errors never fly.

A Refusal names one of the stable codes below; only the HTTP app knows the statuses that belong to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from serving.schemas import Fault

Code = Literal[
    "unauthenticated",
    "forbidden",
    "rate_limited",
    "malformed_json",
    "invalid_request",
    "invalid_history",
    "too_few_points",
    "unfittable_history",
    "unknown_segment",
    "no_champion",
    "unknown_version",
    "not_found",
    "method_not_allowed",
    "not_acceptable",
    "body_too_large",
    "model_unavailable",
    "registry_unavailable",
    "overloaded",
    "timeout",
    "internal_error",
]


@dataclass(frozen=True)
class Refusal:
    """Why a request gets no forecast; retry_after says in how many seconds it might, where that is known."""

    code: Code
    detail: str
    faults: tuple[Fault, ...] = ()
    retry_after: float | None = None


INTERNAL_ERROR = Refusal("internal_error", "the service failed on this request; its log says why")


class Refused(Exception):
    """Carries a Refusal out of the depths of one request."""

    def __init__(
        self, code: Code, detail: str, faults: tuple[Fault, ...] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.refusal = Refusal(code, detail, faults, retry_after)

    @classmethod
    def of(cls, refusal: Refusal) -> Refused:
        """The same refusal, to be raised."""
        return cls(refusal.code, refusal.detail, refusal.faults, refusal.retry_after)


@dataclass(frozen=True, slots=True)
class Answer:
    """A forecast, column by column, ready to be written as JSON.

    ds: as they stand in answers; the other columns have as many numbers, all finite. generated_at: UTC, ISO 8601.
    interval_width: of the interval that yhat_lower and yhat_upper bound.
    model: its ModelInfo in JSON. components: by name, None where they were not asked for.
    """

    model_id: str
    generated_at: str
    model: bytes
    ds: Sequence[str]
    yhat: Sequence[float]
    yhat_lower: Sequence[float]
    yhat_upper: Sequence[float]
    interval_width: float
    components: Mapping[str, Sequence[float]] | None = None


Outcome = Answer | Refusal
