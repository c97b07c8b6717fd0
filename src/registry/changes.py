"""What following the champions of all segments comes to: registry.watch opens what does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from registry.names import PREFIX, model_name, segment_of
from registry.versions import Champion, Mark


@dataclass(frozen=True)
class Changes:
    """Champions that are new since the last look, and the segments that have none any more.

    whole: named are all champions there are, and what is not among them is gone.
    """

    named: Sequence[Mark]
    gone: Sequence[str] = ()
    whole: bool = False


class Watch(Protocol):
    """Sees champions change. Its methods raise RegistryUnavailable; one thread at a time may use it."""

    def changes(self) -> Changes | None:
        """What has changed since the last call, None for nothing; the first call names all champions."""

    def look_at(self, segments: Sequence[str]) -> Changes | None:
        """What has changed of these segments, some tens at most, after changes() was called once; it costs a question
        each. Nothing is looked at where all changes are seen at the next look anyway."""

    def describe(self, segments: Sequence[str]) -> list[Champion]:
        """The present champions of these segments, some hundreds at most; those without one are left out."""

    def close(self) -> None:
        """Let go of the store."""


def segment_named(name: str) -> str | None:
    """The segment that a registered model belongs to, None where it is no segment's.

    Nor is one whose name escapes what needs none: the name that `model_name` gives is the only one asked for.
    """
    if not name.startswith(PREFIX) or name == PREFIX or "\0" in name:
        return None
    if "%" not in name:  # nearly all of them, and there may be a hundred thousand
        return name.removeprefix(PREFIX)
    segment = segment_of(name)
    return segment if model_name(segment) == name else None
