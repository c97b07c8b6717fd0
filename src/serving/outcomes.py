"""What can go wrong with one request, as a value: inside a batch errors never fly.

A Refusal names one of the stable codes below; only the HTTP app knows the statuses that belong to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from serving.schemas import Fault, Forecast

Code = Literal[
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
    "body_too_large",
    "model_unavailable",
    "registry_unavailable",
    "overloaded",
    "timeout",
    "internal_error",
]


@dataclass(frozen=True)
class Refusal:
    """Why a request gets no forecast."""

    code: Code
    detail: str
    faults: tuple[Fault, ...] = ()


class Refused(Exception):
    """Carries a Refusal out of the depths of one request."""

    def __init__(self, code: Code, detail: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(detail)
        self.refusal = Refusal(code, detail, faults)


Outcome = Forecast | Refusal
