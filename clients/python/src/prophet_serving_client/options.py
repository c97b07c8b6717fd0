"""What a client and a call can be told, and the checks of it."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import httpx


@dataclass(frozen=True)
class Attempt:
    """One attempt, as on_attempt hears of it.

    attempt: 1 for the first. status: None where no answer came. error: None after a success. seconds: how long it took.
    pause: seconds before the next attempt, None where there is none.
    """

    method: str
    path: str
    request_id: str
    attempt: int
    status: int | None
    error: Exception | None
    seconds: float
    pause: float | None


class CallOptions(TypedDict, total=False):
    """What one call can be told. request_id: up to 64 letters, digits and ._:-; it stands in the service's log."""

    timeout: float
    budget: float
    retries: int
    headers: Mapping[str, str]
    request_id: str


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long and how often to try. timeout, budget: seconds for one attempt and for the whole call."""

    timeout: float
    budget: float
    retries: int

    def __post_init__(self) -> None:
        for name in ("timeout", "budget"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be a positive number of seconds, not {value}")
        if self.retries < 0:
            raise ValueError(f"retries must be 0, 1, ..., not {self.retries}")

    def but(self, options: CallOptions) -> Patience:
        """This, with what a call says otherwise."""
        return Patience(
            timeout=options.get("timeout", self.timeout),
            budget=options.get("budget", self.budget),
            retries=options.get("retries", self.retries),
        )


def checked_base_url(base_url: str) -> str:
    """The base URL without a trailing slash."""
    url = httpx.URL(base_url)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"base_url is no http or https URL: {base_url!r}")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("base_url must have no user, query or fragment")
    return str(url).rstrip("/")


def checked_key(key: str) -> str:
    """A key that a header can carry. Its value is never part of a message."""
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ValueError("api_key must be text without spaces: is its environment variable set?")
    return key


def checked_request_id(request_id: str | None) -> str:
    """The caller's id, or a new one."""
    if request_id is None:
        return str(uuid.uuid4())
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", request_id):
        raise ValueError("request_id must be 1 to 64 letters, digits and ._:-")
    return request_id
