"""What the registry tells the other rooms: versions and promotions, without MLflow's own types."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from registry.names import segment_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

METRIC_TAG = "metric."
EVENT_TAG = "champion.event."


@dataclass(frozen=True)
class ModelVersion:
    """One version of a segment's registered model.

    tags are MLflow's, as they are; metrics are those tags that start with `metric.` and say a finite number.
    """

    segment: str
    name: str
    version: int
    run_id: str | None
    tags: Mapping[str, str]
    created: datetime

    @classmethod
    def of(cls, found: MlflowVersion) -> ModelVersion:
        return cls(
            segment=segment_of(found.name),
            name=found.name,
            version=int(found.version),
            run_id=found.run_id or None,
            tags=dict(found.tags),
            created=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        )

    @property
    def metrics(self) -> dict[str, float]:
        found = {}
        for key, value in self.tags.items():
            if key.startswith(METRIC_TAG):
                with contextlib.suppress(ValueError):  # anybody may set a tag
                    found[key.removeprefix(METRIC_TAG)] = float(value)
        return {name: value for name, value in found.items() if math.isfinite(value)}


class Mark(NamedTuple):
    """What tells one champion of a segment from another.

    registered: when its registered model was made, in milliseconds since 1970: one that was deleted and made again
    has the same version numbers.
    """

    segment: str
    version: int
    registered: int


@dataclass(frozen=True)
class Champion:
    """A segment's champion, and where its files lie, for `registry.read_at`."""

    mark: Mark
    version: ModelVersion
    location: str


@dataclass(frozen=True)
class Promotion:
    """One move of a segment's alias `champion`.

    previous is the version that it was taken from. "set by hand" stands for a move that only
    MLflow saw: the registry keeps no time for those.
    """

    action: Literal["promote", "rollback", "set by hand"]
    version: int
    previous: int | None
    at: datetime | None = None
    reason: str = ""

    def as_tag(self) -> tuple[str, str]:
        """Write the move as a registered model's tag; keys sort by time."""
        assert self.at is not None
        key = EVENT_TAG + self.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body = {"action": self.action, "version": self.version, "previous": self.previous, "reason": self.reason}
        return key, json.dumps(body, ensure_ascii=False)

    @classmethod
    def of_tag(cls, key: str, value: str) -> Promotion:
        at = datetime.strptime(key.removeprefix(EVENT_TAG), "%Y-%m-%dT%H:%M:%S.%fZ")
        return cls(at=at.replace(tzinfo=UTC), **json.loads(value))


def promotions_of(tags: Mapping[str, str]) -> list[Promotion]:
    """Read the moves that a registered model's tags record, oldest first."""
    keys = sorted(key for key in tags if key.startswith(EVENT_TAG))
    return [Promotion.of_tag(key, tags[key]) for key in keys]


def champion_line(moves: list[Promotion], champion: int) -> list[int]:
    """Replay the recorded moves into the line of champions, the present one last.

    A promotion puts a version on the line and a rollback takes one off, so that two rollbacks go
    two steps back. A present champion that the moves do not end on was set by hand: if it stands in the line,
    the line is cut back to it, else it comes after all others.
    """
    line: list[int] = []
    for move in moves:
        if move.previous is not None and move.action == "promote":
            line = _ending_on(move.previous, line)
        line = _ending_on(move.version, line) if move.action == "rollback" else [*line, move.version]
    return _ending_on(champion, line)


def rollback_target(moves: list[Promotion], champion: int, numbers: set[int]) -> int | None:
    """The version that a rollback puts back, None where there is none. numbers: the versions that are there.

    Where nothing is recorded that is there still, it is the version numbered before the champion.
    """
    line = [number for number in champion_line(moves, champion) if number in numbers]
    recorded = [number for number in line[:-1] if number != champion]
    return recorded[-1] if recorded else max((number for number in numbers if number < champion), default=None)


def _ending_on(version: int, line: list[int]) -> list[int]:
    """Cut the line back to where the version last stood on it, or add the version at its end."""
    if version not in line:
        return [*line, version]
    return line[: len(line) - line[::-1].index(version)]
