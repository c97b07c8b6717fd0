"""Which segments need no training yet: those whose champion has seen recent history."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from registry.registry import Registry
from registry.versions import ModelVersion
from training.errors import ConfigError

_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_PAGE = 1000


def parse_age(text: str) -> timedelta:
    """Read an age such as 12h, 7d or 2w. Raises ConfigError."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is no age: write a number and h, d or w, such as 12h, 7d or 2w")
    return timedelta(hours=int(match[1]) * _HOURS[match[2]])


def fresh_segments(registry: Registry, since: datetime) -> frozenset[str]:
    """The segments whose champion was trained through that time or a later one. Raises RegistryUnavailable.

    since: in UTC, as histories without a time zone are taken to be.
    """
    fresh: set[str] = set()
    token: str | None = None
    while True:
        versions, token = registry.champions(_PAGE, token)
        fresh.update(version.segment for version in versions if trained_through(version) >= since)
        if token is None:
            return frozenset(fresh)


def trained_through(version: ModelVersion) -> datetime:
    """The last date of a version's history where a tag says it, else when the version was made."""
    try:
        through = datetime.fromisoformat(version.tags["forecast.trained_through"])
    except (KeyError, ValueError):
        return version.created
    return through if through.tzinfo else through.replace(tzinfo=UTC)
