"""Register hundreds of segments a transaction, straight into the tables that MLflow keeps in SQLite or PostgreSQL.

The rows are those that mlflow.prophet.log_model, its registration and Registry.promote leave behind;
tests/integration/test_bulk_contract.py holds them to it column by column. Files are written first, the versions'
rows in one transaction after them, and the aliases in another one last: whatever is cut off, no alias names a
version that is not whole.

A transaction holds the rows of its registered models (PostgreSQL: FOR UPDATE in the order of names; SQLite: the whole
database, from BEGIN IMMEDIATE on), so that two jobs, or a job and MLflow's own clients, never draw the same number.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from mlflow.entities import LoggedModelStatus
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL, STAGE_NONE
from mlflow.store.model_registry.dbmodels import models as registered
from mlflow.store.tracking.dbmodels import models as tracked
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from mlflow.utils.uri import append_to_uri_path
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME
from sqlalchemy.dialects import postgresql, sqlite

from registry.api_writer import link, writing
from registry.errors import RegistryError, RegistryUnavailable, UnknownVersion
from registry.model_files import MODEL_NAME, ModelFiles
from registry.records import SegmentRecord, checked, failed_run, run_tags
from registry.registry import CHALLENGER, CHAMPION, KEPT_EVENTS, Registry
from registry.store import quiet_mlflow
from registry.versions import EVENT_TAG, ModelVersion, Promotion

SCHEMA = "dc11669786a5"  # the alembic revision of MLflow 3.17's tables, which this file was written for
CHUNK = 500  # segments a transaction
_STORING = 8  # versions whose files are stored at once
_BUSY_SECONDS = 120  # how long SQLite waits for another job's transaction
_LARGEST = 1.7976931348623157e308  # what MLflow stores for infinity


@dataclass(frozen=True, eq=False)
class _Draft:
    """A record whose files are stored, and which is not yet in the database."""

    record: SegmentRecord
    name: str
    run_id: str
    model_id: str
    location: str
    started: int


class BulkWriter:
    """Writes to the tables of SCHEMA, which open_writer makes sure of; see records.Writer for the contract."""

    def __init__(self, registry: Registry, job_run_id: str, experiment: str) -> None:
        self._job_run_id = job_run_id
        self._experiment = int(experiment)
        with writing():
            self._root: str = registry.client.get_experiment(experiment).artifact_location
        self._files = ModelFiles(registry.uri)
        self._context: dict[str, str] = resolve_tags()
        self._engine = _engine(registry.uri)

    def write(self, records: Iterable[SegmentRecord]) -> list[ModelVersion | RegistryError]:
        """Register each record, promote those that ask for it, and say in order what came of each."""
        everything = list(records)
        chunks = (everything[start : start + CHUNK] for start in range(0, len(everything), CHUNK))
        return [outcome for chunk in chunks for outcome in self._write_chunk(chunk)]

    def write_failures(self, failures: Mapping[str, str]) -> None:
        """Keep a FAILED child run for each segment, its reason as the tag `failure`. Raises RegistryUnavailable."""
        rows, now = _Rows(), _now()
        for segment, reason in failures.items():
            name, tags = failed_run(segment, reason)
            self._add_run(rows, uuid.uuid4().hex, name, tags, "FAILED", start_time=now, end_time=now)
        with writing(), self._engine.begin() as connection:
            rows.insert(connection)

    def _write_chunk(self, records: Sequence[SegmentRecord]) -> list[ModelVersion | RegistryError]:
        """Files, then versions, then aliases; an error is its record's own, or of all that are in the transaction."""
        with quiet_mlflow(), ThreadPoolExecutor(_STORING) as pool:
            drafts = list(pool.map(self._draft, records))
        whole = [draft for draft in drafts if isinstance(draft, _Draft)]
        if not whole:
            return [draft for draft in drafts if isinstance(draft, RegistryError)]
        outcomes: dict[_Draft, ModelVersion | RegistryError] = {}
        try:
            with writing(), self._engine.begin() as connection:
                versions = self._insert_versions(connection, whole)
            outcomes.update(versions)
            with writing(), self._engine.begin() as connection:
                outcomes.update(_move_aliases(connection, versions))
        except RegistryError as error:
            outcomes = {draft: _told(error, outcomes.get(draft)) for draft in whole}
        return [outcomes[draft] if isinstance(draft, _Draft) else draft for draft in drafts]

    def _draft(self, record: SegmentRecord) -> _Draft | RegistryError:
        """Check a record and store its files."""
        started, run_id, model_id = _now(), uuid.uuid4().hex, f"m-{uuid.uuid4().hex}"
        location = _joined(self._root, "models", model_id, "artifacts")
        try:
            record = checked(record)
            self._files.save(record.model_json, record.inputs, location=location, run_id=run_id, model_id=model_id)
        except RegistryError as error:
            return error
        except Exception as error:  # each kind of artifact store has exceptions of its own
            return RegistryUnavailable(f"the files of segment {record.segment!r} cannot be stored: {error}")
        return _Draft(record, record.name, run_id, model_id, location, started)

    def _insert_versions(self, connection: sa.Connection, drafts: Sequence[_Draft]) -> dict[_Draft, ModelVersion]:
        """Insert every row but the aliases, with the next number of each segment."""
        now, names = _now(), sorted({draft.name for draft in drafts})
        _ensure_registered(connection, names, now)
        highest = _highest_versions(connection, names)
        rows, versions = _Rows(), {}
        for draft in drafts:
            number = highest[draft.name] = highest[draft.name] + 1
            self._add_tracked(rows, draft, now, number)
            _add_version(rows, draft, now, number)
            created, tags = datetime.fromtimestamp(now / 1000, UTC), dict(draft.record.tags)
            versions[draft] = ModelVersion(draft.record.segment, draft.name, number, draft.run_id, tags, created)
        rows.insert(connection)
        return versions

    def _add_tracked(self, rows: _Rows, draft: _Draft, now: int, number: int) -> None:
        """Add the run and the logged model, each with its params, metrics and tags, and what links them."""
        record, run_id = draft.record, draft.run_id
        model = {"model_id": draft.model_id, "experiment_id": self._experiment}
        self._add_run(
            rows, run_id, record.segment, run_tags(record.tags), "FINISHED", start_time=draft.started, end_time=now
        )
        rows.add(
            tracked.SqlLoggedModel,
            **model,
            name=MODEL_NAME,
            artifact_location=draft.location,
            creation_timestamp_ms=draft.started,
            last_updated_timestamp_ms=now,
            status=LoggedModelStatus.READY.to_int(),
            lifecycle_stage="active",
            source_run_id=run_id,
        )
        for key, value in record.params.items():
            rows.add(tracked.SqlParam, run_uuid=run_id, key=key, value=value)
            rows.add(tracked.SqlLoggedModelParam, **model, param_key=key, param_value=value)
        for key, measured in record.metrics.items():
            is_nan, stored = _in_sql(measured)
            metric = {"run_uuid": run_id, "key": key, "value": stored, "is_nan": is_nan, "timestamp": now, "step": 0}
            rows.add(tracked.SqlMetric, **metric)
            rows.add(tracked.SqlLatestMetric, **metric)
            rows.add(
                tracked.SqlLoggedModelMetric,
                **model,
                run_id=run_id,
                metric_name=key,
                metric_value=stored,
                metric_timestamp_ms=now,
                metric_step=0,
            )
        for key, value in {**self._context, MLFLOW_MODEL_VERSIONS: link(draft.name, number)}.items():
            rows.add(tracked.SqlLoggedModelTag, **model, tag_key=key, tag_value=value)
        rows.add(
            tracked.SqlInput,
            input_uuid=uuid.uuid4().hex,
            source_type="RUN_OUTPUT",
            source_id=run_id,
            destination_type="MODEL_OUTPUT",
            destination_id=draft.model_id,
            step=0,
        )

    def _add_run(self, rows: _Rows, run_id: str, name: str, tags: Mapping[str, str], status: str, **span: int) -> None:
        rows.add(
            tracked.SqlRun,
            **span,
            run_uuid=run_id,
            name=name,
            status=status,
            experiment_id=self._experiment,
            artifact_uri=_joined(self._root, run_id, "artifacts"),
            lifecycle_stage="active",
            source_type="UNKNOWN",
            source_name="",
            source_version="",
            entry_point_name="",
            user_id="unknown",
        )
        for key, value in {MLFLOW_RUN_NAME: name, MLFLOW_PARENT_RUN_ID: self._job_run_id, **tags}.items():
            rows.add(tracked.SqlTag, run_uuid=run_id, key=key, value=value)


class _Rows:
    """Rows to be inserted, by table; the tables in the order of their first rows, so parents go before children."""

    def __init__(self) -> None:
        self._rows: dict[sa.Table, list[dict[str, Any]]] = defaultdict(list)

    def add(self, model: Any, **row: Any) -> None:
        self._rows[_table(model)].append(row)

    def insert(self, connection: sa.Connection) -> None:
        for table, rows in self._rows.items():
            connection.execute(sa.insert(table), rows)


def _add_version(rows: _Rows, draft: _Draft, now: int, number: int) -> None:
    version = {"workspace": DEFAULT_WORKSPACE_NAME, "name": draft.name, "version": number}
    rows.add(
        registered.SqlModelVersion,
        **version,
        creation_time=now,
        last_updated_time=now,
        current_stage=STAGE_NONE,
        source=f"models:/{draft.model_id}",
        storage_location=draft.location,
        run_id=draft.run_id,
        status="READY",
    )
    for key, value in draft.record.tags.items():
        rows.add(registered.SqlModelVersionTag, **version, key=key, value=value)


def _in_sql(value: float) -> tuple[bool, float]:
    """Whether a metric is NaN, and the number that MLflow stores for it: SQL has no NaN and no infinity."""
    return (True, 0.0) if math.isnan(value) else (False, max(-_LARGEST, min(_LARGEST, value)))


def _ensure_registered(connection: sa.Connection, names: Sequence[str], now: int) -> None:
    """Create the registered models that are not there yet, and hold and touch all of them."""
    table = _table(registered.SqlRegisteredModel)
    new = {"workspace": DEFAULT_WORKSPACE_NAME, "creation_time": now, "last_updated_time": now}
    connection.execute(_upsert(connection, table).on_conflict_do_nothing(), [new | {"name": name} for name in names])
    _hold(connection, names)
    connection.execute(sa.update(table).where(*_among(table, names)).values(last_updated_time=now))


def _hold(connection: sa.Connection, names: Sequence[str]) -> None:
    """Let nobody else number versions of these models or move their aliases until the transaction ends."""
    table = _table(registered.SqlRegisteredModel)
    connection.execute(sa.select(table.c.name).where(*_among(table, names)).order_by(table.c.name).with_for_update())


def _highest_versions(connection: sa.Connection, names: Sequence[str]) -> dict[str, int]:
    """The highest number of each model, deleted versions among them; 0 where there is none."""
    table = _table(registered.SqlModelVersion)
    query = sa.select(table.c.name, sa.func.max(table.c.version)).where(*_among(table, names)).group_by(table.c.name)
    return dict.fromkeys(names, 0) | {name: number for name, number in connection.execute(query)}


def _move_aliases(
    connection: sa.Connection, versions: Mapping[_Draft, ModelVersion]
) -> dict[_Draft, ModelVersion | RegistryError]:
    """Make each version the challenger, and the champion where it is to be, with the record of its promotion."""
    names = sorted({draft.name for draft in versions})
    _hold(connection, names)
    live, champions, events = _live(connection, names), _champions(connection, names), _events(connection, names)
    outcomes: dict[_Draft, ModelVersion | RegistryError] = {}
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


def _write_aliases(
    connection: sa.Connection,
    aliases: Mapping[tuple[str, str], int],
    tags: Sequence[dict[str, Any]],
    events: Mapping[str, list[str]],
) -> None:
    """Write the promotions' tags, forget the oldest of them, and let the aliases name their versions."""
    table, named = _table(registered.SqlRegisteredModelTag), _table(registered.SqlRegisteredModelAlias)
    if tags:
        connection.execute(sa.insert(table), tags)
    old = [{"of": name, "old": key} for name, keys in events.items() for key in sorted(keys)[:-KEPT_EVENTS]]
    if old:
        one = (*_among(table, [sa.bindparam("of")]), table.c.key == sa.bindparam("old"))
        connection.execute(sa.delete(table).where(*one), old)
    move = _upsert(connection, named)
    connection.execute(
        move.on_conflict_do_update(index_elements=named.primary_key, set_={"version": move.excluded.version}),
        [
            {"workspace": DEFAULT_WORKSPACE_NAME, "name": name, "alias": alias, "version": number}
            for (name, alias), number in aliases.items()
        ],
    )


def _live(connection: sa.Connection, names: Sequence[str]) -> set[tuple[str, int]]:
    """The versions that are not deleted."""
    table = _table(registered.SqlModelVersion)
    query = sa.select(table.c.name, table.c.version).where(
        *_among(table, names), table.c.current_stage != STAGE_DELETED_INTERNAL
    )
    return {(name, number) for name, number in connection.execute(query)}


def _champions(connection: sa.Connection, names: Sequence[str]) -> dict[str, int]:
    table = _table(registered.SqlRegisteredModelAlias)
    query = sa.select(table.c.name, table.c.version).where(*_among(table, names), table.c.alias == CHAMPION)
    return {name: number for name, number in connection.execute(query)}


def _events(connection: sa.Connection, names: Sequence[str]) -> dict[str, list[str]]:
    """The keys of each model's recorded promotions."""
    table = _table(registered.SqlRegisteredModelTag)
    found = defaultdict[str, list[str]](list)
    # Not asked for by key: the database would then walk through the promotions of all models.
    for name, key in connection.execute(sa.select(table.c.name, table.c.key).where(*_among(table, names))):
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


def _upsert(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that may say what is to be done about rows that are there."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _among(table: sa.Table, names: Sequence[Any]) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return table.c.workspace == DEFAULT_WORKSPACE_NAME, table.c.name.in_(names)


def _table(model: Any) -> sa.Table:
    table: sa.Table = model.__table__
    return table


def _joined(root: str, *parts: str) -> str:
    return str(append_to_uri_path(root, *parts))  # type: ignore[no-untyped-call]


def _now() -> int:
    return int(time.time() * 1000)


def _told(error: RegistryError, version: ModelVersion | RegistryError | None) -> RegistryError:
    """Say of an error that came after the versions that those stand."""
    if not isinstance(version, ModelVersion):
        return error
    return RegistryUnavailable(f"version {version.version} is registered, but no alias names it: {error}")


def _engine(uri: str) -> sa.Engine:
    """Reach the store with a connection a transaction; in SQLite that takes the whole database at its start."""
    if not uri.startswith("sqlite"):
        return sa.create_engine(uri, poolclass=sa.NullPool)
    engine = sa.create_engine(uri, poolclass=sa.NullPool, connect_args={"timeout": _BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
