"""Read many champions with one query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from registry.names import segment_of
from registry.registry import CHAMPION
from registry.tables.columns import ALIASES, DELETED, MODELS, VERSION_TAGS, VERSIONS
from registry.tables.schema import among
from registry.versions import Champion, Mark, ModelVersion

_MODEL = [MODELS.c[key] == VERSIONS.c[key] for key in ("workspace", "name")]
_NAMED = [VERSIONS.c[key] == ALIASES.c[key] for key in ("workspace", "name", "version")]
_TAGGED = [VERSION_TAGS.c[key] == VERSIONS.c[key] for key in ("workspace", "name", "version")]


def champions_named(connection: sa.Connection, names: Sequence[str]) -> list[Champion]:
    """The champions of these registered models, with their tags, as `Registry.champion` gives each."""
    served = ALIASES.join(VERSIONS, sa.and_(*_NAMED))
    return _described(connection, served, *among(ALIASES, names), ALIASES.c.alias == CHAMPION)


def version_numbered(connection: sa.Connection, name: str, number: int) -> Champion | None:
    """One version, as a champion is described; None where it is not there."""
    found = _described(connection, VERSIONS, *among(VERSIONS, [name]), VERSIONS.c.version == number)
    return found[0] if found else None


def is_registered(connection: sa.Connection, name: str) -> bool:
    """Whether there is a registered model of this name, with or without a champion."""
    return connection.execute(sa.select(MODELS.c.name).where(*among(MODELS, [name]))).first() is not None


def _described(connection: sa.Connection, versions: sa.FromClause, *which: sa.ColumnElement[bool]) -> list[Champion]:
    query = (
        sa.select(
            VERSIONS.c.name,
            VERSIONS.c.version,
            VERSIONS.c.run_id,
            VERSIONS.c.creation_time,
            sa.func.coalesce(VERSIONS.c.storage_location, VERSIONS.c.source),
            MODELS.c.creation_time,
            VERSION_TAGS.c.key,
            VERSION_TAGS.c.value,
        )
        .select_from(versions.join(MODELS, sa.and_(*_MODEL)).outerjoin(VERSION_TAGS, sa.and_(*_TAGGED)))
        .where(*which, VERSIONS.c.current_stage != DELETED)
    )
    found: dict[str, Champion] = {}
    tags: dict[str, dict[str, str]] = defaultdict(dict)
    for name, number, run_id, created, location, made, key, value in connection.execute(query):
        if name not in found:
            segment, at = segment_of(name), datetime.fromtimestamp(created / 1000, UTC)
            found[name] = Champion(
                Mark(segment, number, made),
                ModelVersion(segment, name, number, run_id or None, tags[name], at),
                location,
            )
        if key is not None:  # a version may have none
            tags[name][key] = value
    return list(found.values())
