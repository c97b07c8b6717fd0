"""Who asks, and which segments are his."""

from __future__ import annotations

import glob
import ipaddress
import os
import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property, lru_cache

_LITERAL = re.compile(r"[^*?\[]*")
_TEMPLATE = re.compile(r"(?P<before>[^*?\[\]{}]*)\{sub\}(?P<after>[^*?\[\]{}\w-][^{}]*|_[^{}]*)?")
_LONGEST_SUBJECT = 200


@dataclass(frozen=True)
class Caller:
    """One who was let in.

    name: the same for all requests of one caller; rate limits go by it. segments: globs as in fnmatch, case-sensitive.
    rate: forecasts a second in each worker, None for no limit. inline: whether he may have histories of his own fitted.
    metrics: whether he may read /metrics.
    """

    name: str
    segments: tuple[str, ...]
    rate: float | None = None
    inline: bool = True
    metrics: bool = False

    def may_read(self, segment: str) -> bool:
        """Whether he may see the forecasts of this segment, whether or not there is such a one."""
        return self._reads_all or any(pattern.match(segment) for pattern in self._patterns)

    @cached_property
    def _reads_all(self) -> bool:
        return "*" in self.segments

    @cached_property
    def prefix(self) -> str:
        """What the keys of all segments that he may read start with."""
        return os.path.commonprefix(self.prefixes)  # noqa: RUF071 (keys are no paths)

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """What these keys start with, one text or the other: ascending, and none starts with another."""
        least: list[str] = []
        for literal in sorted({_LITERAL.match(pattern).group() for pattern in self.segments}):  # type: ignore[union-attr]
            if not least or not literal.startswith(least[-1]):
                least.append(literal)
        return tuple(least)

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        # fnmatch keeps only the last few hundred patterns compiled, and a service may have more keys.
        return [re.compile(translate(pattern)) for pattern in self.segments]


EVERYBODY = Caller("everybody", ("*",), metrics=True)


class OwnSegments:
    """Which segments belong to the subject of a token, by a template such as `user_{sub}_*`.

    The character after `{sub}` ends it, and no subject that holds this character is let in: `user_{sub}_*` would
    otherwise give the segments of a subject `4_2` to a subject `4`.
    Raises ValueError for a template in which that cannot be told.
    """

    def __init__(self, template: str) -> None:
        parts = _TEMPLATE.fullmatch(template)
        if parts is None:
            raise ValueError(
                f"{template!r} is no template for a user's segments: it needs plain text, {{sub}} once, and after "
                "it nothing or a separator such as _ before any wildcard, as in user_{sub}_*"
            )
        self._before, self._after = parts["before"], parts["after"] or ""

    def of(self, subject: str) -> str | None:
        """The glob of this subject's segments, None for a subject whose segments others might share."""
        if not 0 < len(subject) <= _LONGEST_SUBJECT or (self._after and self._after[0] in subject):
            return None
        return self._before + glob.escape(subject) + self._after


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether an address, or localhost, is this machine's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
