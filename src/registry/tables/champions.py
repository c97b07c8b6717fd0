"""Read many champions with one query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.model_registry.dbmodels import models as registered

from registry.names import segment_of
from registry.registry import CHAMPION
from registry.tables.schema import among, table_of
from registry.versions import Champion, Mark, ModelVersion


def champions_named(connection: sa.Connection, names: Sequence[str]) -> list[Champion]:
    """The champions of these registered models, with their tags, as `Registry.champion` gives each."""
    alias, model, version, tag = (
        table_of(table)
        for table in (
            registered.SqlRegisteredModelAlias,
            registered.SqlRegisteredModel,
            registered.SqlModelVersion,
            registered.SqlModelVersionTag,
        )
    )
    of_model = [model.c[key] == alias.c[key] for key in ("workspace", "name")]
    of_version = [tag.c[key] == version.c[key] for key in ("workspace", "name", "version")]
    named = [version.c[key] == alias.c[key] for key in ("workspace", "name", "version")]
    query = (
        sa.select(
            version.c.name,
            version.c.version,
            version.c.run_id,
            version.c.creation_time,
            sa.func.coalesce(version.c.storage_location, version.c.source),
            model.c.creation_time,
            tag.c.key,
            tag.c.value,
        )
        .select_from(
            alias.join(model, sa.and_(*of_model)).join(version, sa.and_(*named)).outerjoin(tag, sa.and_(*of_version))
        )
        .where(*among(alias, names), alias.c.alias == CHAMPION, version.c.current_stage != STAGE_DELETED_INTERNAL)
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
