"""Number versions and move aliases, inside a transaction that holds the registered models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.model_registry.dbmodels import models as registered
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

from registry.errors import RegistryError, UnknownVersion
from registry.registry import CHALLENGER, CHAMPION, KEPT_EVENTS
from registry.tables.rows import Draft
from registry.tables.schema import among, table_of, upsert
from registry.versions import EVENT_TAG, ModelVersion, Promotion


def ensure_registered(connection: sa.Connection, names: Sequence[str], now: int) -> None:
    """Create the registered models that are not there yet, and hold and touch all of them."""
    table = table_of(registered.SqlRegisteredModel)
    new = {"workspace": DEFAULT_WORKSPACE_NAME, "creation_time": now, "last_updated_time": now}
    connection.execute(upsert(connection, table).on_conflict_do_nothing(), [new | {"name": name} for name in names])
    _hold(connection, names)
    connection.execute(sa.update(table).where(*among(table, names)).values(last_updated_time=now))


def highest_versions(connection: sa.Connection, names: Sequence[str]) -> dict[str, int]:
    """The highest number of each model, deleted versions among them; 0 where there is none."""
    table = table_of(registered.SqlModelVersion)
    query = sa.select(table.c.name, sa.func.max(table.c.version)).where(*among(table, names)).group_by(table.c.name)
    return dict.fromkeys(names, 0) | {name: number for name, number in connection.execute(query)}


def move_aliases(
    connection: sa.Connection, versions: Mapping[Draft, ModelVersion]
) -> dict[Draft, ModelVersion | RegistryError]:
    """Make each version the challenger, and the champion where it is to be, with the record of its promotion."""
    names = sorted({draft.name for draft in versions})
    _hold(connection, names)
    live, champions, events = _live(connection, names), _champions(connection, names), _events(connection, names)
    outcomes: dict[Draft, ModelVersion | RegistryError] = {}
    aliases: dict[tuple[str, str], int] = {}
    tags = []
    for draft, version in versions.items():
        name, number, record = draft.name, version.version, draft.record
        if (name, number) not in live:
            outcomes[draft] = UnknownVersion(f"segment {record.segment!r}: version {number} was deleted at once")
            continue
        outcomes[draft] = version
        aliases[name, CHALLENGER] = number
        if record.promote:
            move = Promotion("promote", number, champions.get(name), _after(events[name]), record.reason[:500])
            key, value = move.as_tag()
            tags.append({"workspace": DEFAULT_WORKSPACE_NAME, "name": name, "key": key, "value": value})
            events[name].append(key)
            champions[name] = aliases[name, CHAMPION] = number
    if aliases:
        _write_aliases(connection, aliases, tags, events)
    return outcomes


def _hold(connection: sa.Connection, names: Sequence[str]) -> None:
    """Let nobody else number versions of these models or move their aliases until the transaction ends."""
    table = table_of(registered.SqlRegisteredModel)
    connection.execute(sa.select(table.c.name).where(*among(table, names)).order_by(table.c.name).with_for_update())


def _write_aliases(
    connection: sa.Connection,
    aliases: Mapping[tuple[str, str], int],
    tags: Sequence[dict[str, Any]],
    events: Mapping[str, list[str]],
) -> None:
    """Write the promotions' tags, forget the oldest of them, and let the aliases name their versions."""
    table, named = table_of(registered.SqlRegisteredModelTag), table_of(registered.SqlRegisteredModelAlias)
    if tags:
        connection.execute(sa.insert(table), tags)
    old = [{"of": name, "old": key} for name, keys in events.items() for key in sorted(keys)[:-KEPT_EVENTS]]
    if old:
        one = (*among(table, [sa.bindparam("of")]), table.c.key == sa.bindparam("old"))
        connection.execute(sa.delete(table).where(*one), old)
    move = upsert(connection, named)
    connection.execute(
        move.on_conflict_do_update(index_elements=named.primary_key, set_={"version": move.excluded.version}),
        [
            {"workspace": DEFAULT_WORKSPACE_NAME, "name": name, "alias": alias, "version": number}
            for (name, alias), number in aliases.items()
        ],
    )


def _live(connection: sa.Connection, names: Sequence[str]) -> set[tuple[str, int]]:
    """The versions that are not deleted."""
    table = table_of(registered.SqlModelVersion)
    query = sa.select(table.c.name, table.c.version).where(
        *among(table, names), table.c.current_stage != STAGE_DELETED_INTERNAL
    )
    return {(name, number) for name, number in connection.execute(query)}


def _champions(connection: sa.Connection, names: Sequence[str]) -> dict[str, int]:
    table = table_of(registered.SqlRegisteredModelAlias)
    query = sa.select(table.c.name, table.c.version).where(*among(table, names), table.c.alias == CHAMPION)
    return {name: number for name, number in connection.execute(query)}


def _events(connection: sa.Connection, names: Sequence[str]) -> dict[str, list[str]]:
    """The keys of each model's recorded promotions."""
    table = table_of(registered.SqlRegisteredModelTag)
    found = defaultdict[str, list[str]](list)
    # Not asked for by key: the database would then walk through the promotions of all models.
    for name, key in connection.execute(sa.select(table.c.name, table.c.key).where(*among(table, names))):
        if key.startswith(EVENT_TAG):
            found[name].append(key)
    return found


def _after(events: Sequence[str]) -> datetime:
    """Now, or just after the newest event where another host's clock is ahead: the order of keys is that of moves."""
    now = datetime.now(UTC)
    if not events:
        return now
    newest = datetime.strptime(max(events).removeprefix(EVENT_TAG), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return max(now, newest + timedelta(microseconds=1))
