"""When to ask again. Nothing here asks, waits or looks at a clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 8.0

# What may pass by itself. A forecast changes nothing, so its POST is as safe to repeat as a GET. Not 500: it is a bug
# of the service, which the same request would meet again.
PASSING = frozenset({408, 429, 502, 503, 504})


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that Retry-After asks for, or those until its date; None where it says neither.

    A date is counted from the answer's own Date where there is one, since the two clocks may differ.
    """
    asked = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", asked, re.ASCII):
        return float(asked)
    until = _date(asked)
    if until is None:
        return None
    return max(0.0, (until - (_date(headers.get("date", "")) or now)).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def pause(retry: int, asked: float | None, chance: float) -> float:
    """The seconds before a retry, which is 0 for the first.

    chance, in [0, 1), spreads callers who failed together: between a half and the whole of an exponential backoff, or
    up to a quarter beyond what the service asked for, never less.
    """
    if asked is not None:
        return asked * (1 + chance / 4)
    return min(_FIRST_PAUSE * 2.0**retry, _LONGEST_PAUSE) * (1 - chance / 2)
