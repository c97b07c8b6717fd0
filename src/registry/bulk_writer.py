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
_UPLOADS = 8  # files that are stored at once
_BUSY_SECONDS = 120  # how long SQLite waits for another job's transaction
_LARGEST = 1.7976931348623157e308  # what MLflow stores for infinity

Rows = dict[sa.Table, list[dict[str, Any]]]


def why_not(registry: Registry, experiment: str) -> str | None:
    """Say what keeps a store from being written in bulk, or None when nothing does. Raises RegistryUnavailable."""
    if not registry.uri.startswith(("sqlite", "postgresql")):
        return "the tracking store is neither SQLite nor a PostgreSQL that is reached directly"
    with writing():
        with _engine(registry.uri).connect() as connection:
            found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        workspace = registry.client.get_experiment(experiment).workspace
    if found != SCHEMA:
        return f"its tables are of schema version {found}, and the bulk writer knows {SCHEMA}"
    if workspace != DEFAULT_WORKSPACE_NAME:
        return f"its experiment is in workspace {workspace!r}, and the bulk writer knows the default one"
    return None


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
    """Writes where `why_not` finds nothing to say; see records.Writer for the contract."""

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
        rows: Rows = defaultdict(list)
        now = _now()
        for segment, reason in failures.items():
            name, tags = failed_run(segment, reason)
            self._add_run(rows, uuid.uuid4().hex, name, tags, "FAILED", (now, now))
        with writing(), self._engine.begin() as connection:
            _insert(connection, rows)

    def _write_chunk(self, records: Sequence[SegmentRecord]) -> list[ModelVersion | RegistryError]:
        """Files, then versions, then aliases; an error is its record's own, or of all that are in the transaction."""
        with quiet_mlflow(), ThreadPoolExecutor(_UPLOADS) as pool:
            drafts = list(pool.map(self._draft, records))
        whole = [draft for draft in drafts if isinstance(draft, _Draft)]
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
        rows: Rows = defaultdict(list)
        versions = {}
        for draft in drafts:
            number = highest[draft.name] = highest[draft.name] + 1
            self._add_tracked(rows, draft, now, number)
            _add_version(rows, draft, now, number)
            created, tags = datetime.fromtimestamp(now / 1000, UTC), dict(draft.record.tags)
            versions[draft] = ModelVersion(draft.record.segment, draft.name, number, draft.run_id, tags, created)
        _insert(connection, rows)
        return versions

    def _add_tracked(self, rows: Rows, draft: _Draft, now: int, number: int) -> None:
        """Add the run, its params, metrics and tags, and the logged model with its own."""
        record, experiment = draft.record, self._experiment
        model = {"model_id": draft.model_id, "experiment_id": experiment}
        self._add_run(rows, draft.run_id, record.segment, run_tags(record.tags), "FINISHED", (draft.started, now))
        rows[_table(tracked.SqlLoggedModel)].append(
            model
            | {
                "name": MODEL_NAME,
                "artifact_location": draft.location,
                "creation_timestamp_ms": draft.started,
                "last_updated_timestamp_ms": now,
                "status": LoggedModelStatus.READY.to_int(),
                "lifecycle_stage": "active",
                "source_run_id": draft.run_id,
            }
        )
        for key, value in record.params.items():
            rows[_table(tracked.SqlParam)].append({"key": key, "value": value, "run_uuid": draft.run_id})
            rows[_table(tracked.SqlLoggedModelParam)].append(model | {"param_key": key, "param_value": value})
        for key, measured in record.metrics.items():
            _add_metric(rows, draft, experiment, key, measured, now)
        linked = {MLFLOW_MODEL_VERSIONS: link(draft.name, number)}
        for key, value in (self._context | linked).items():
            rows[_table(tracked.SqlLoggedModelTag)].append(model | {"tag_key": key, "tag_value": value})
        rows[_table(tracked.SqlInput)].append(
            {
                "input_uuid": uuid.uuid4().hex,
                "source_type": "RUN_OUTPUT",
                "source_id": draft.run_id,
                "destination_type": "MODEL_OUTPUT",
                "destination_id": draft.model_id,
                "step": 0,
            }
        )

    def _add_run(
        self, rows: Rows, run_id: str, name: str, tags: Mapping[str, str], status: str, span: tuple[int, int]
    ) -> None:
        rows[_table(tracked.SqlRun)].append(
            {
                "run_uuid": run_id,
                "name": name,
                "source_type": "UNKNOWN",
                "source_name": "",
                "entry_point_name": "",
                "user_id": "unknown",
                "status": status,
                "start_time": span[0],
                "end_time": span[1],
                "source_version": "",
                "lifecycle_stage": "active",
                "artifact_uri": _joined(self._root, run_id, "artifacts"),
                "experiment_id": self._experiment,
            }
        )
        own = {MLFLOW_RUN_NAME: name, MLFLOW_PARENT_RUN_ID: self._job_run_id}
        for key, value in {**own, **tags}.items():
            rows[_table(tracked.SqlTag)].append({"key": key, "value": value, "run_uuid": run_id})


def _add_metric(rows: Rows, draft: _Draft, experiment: int, key: str, value: float, now: int) -> None:
    """Add one metric where the run and where the model keeps it; SQL has no NaN and no infinity."""
    is_nan = math.isnan(value)
    stored = 0.0 if is_nan else max(-_LARGEST, min(_LARGEST, value))
    metric = {
        "key": key,
        "value": stored,
        "timestamp": now,
        "step": 0,
        "is_nan": is_nan,
        "run_uuid": draft.run_id,
    }
    rows[_table(tracked.SqlMetric)].append(metric)
    rows[_table(tracked.SqlLatestMetric)].append(metric)
    rows[_table(tracked.SqlLoggedModelMetric)].append(
        {
            "model_id": draft.model_id,
            "metric_name": key,
            "metric_timestamp_ms": now,
            "metric_step": 0,
            "metric_value": stored,
            "experiment_id": experiment,
            "run_id": draft.run_id,
        }
    )


def _add_version(rows: Rows, draft: _Draft, now: int, number: int) -> None:
    version = {"workspace": DEFAULT_WORKSPACE_NAME, "name": draft.name, "version": number}
    rows[_table(registered.SqlModelVersion)].append(
        version
        | {
            "creation_time": now,
            "last_updated_time": now,
            "current_stage": STAGE_NONE,
            "source": f"models:/{draft.model_id}",
            "storage_location": draft.location,
            "run_id": draft.run_id,
            "status": "READY",
        }
    )
    for key, value in draft.record.tags.items():
        rows[_table(registered.SqlModelVersionTag)].append(version | {"key": key, "value": value})


def _insert(connection: sa.Connection, rows: Rows) -> None:
    """Insert the rows of each table, parents before children, as they were added."""
    for table, values in rows.items():
        connection.execute(sa.insert(table), values)


def _ensure_registered(connection: sa.Connection, names: Sequence[str], now: int) -> None:
    """Create the registered models that are not there yet, and hold and touch all of them."""
    table = _table(registered.SqlRegisteredModel)
    new = {"workspace": DEFAULT_WORKSPACE_NAME, "creation_time": now, "last_updated_time": now}
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    if names:
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), [new | {"name": name} for name in names])
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
    _write_aliases(connection, aliases, tags, events)
    return outcomes


def _write_aliases(
    connection: sa.Connection,
    aliases: Mapping[tuple[str, str], int],
    tags: Sequence[dict[str, Any]],
    events: Mapping[str, list[str]],
) -> None:
    """Write the promotions' tags, let the aliases name their versions, and forget the oldest promotions."""
    table, named = _table(registered.SqlRegisteredModelTag), _table(registered.SqlRegisteredModelAlias)
    old = [{"old_name": name, "old_key": key} for name, keys in events.items() for key in keys[:-KEPT_EVENTS]]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    if tags:
        connection.execute(sa.insert(table), tags)
    if old:
        connection.execute(
            sa.delete(table).where(
                table.c.workspace == DEFAULT_WORKSPACE_NAME,
                table.c.key == sa.bindparam("old_key"),
                table.c.name == sa.bindparam("old_name"),
            ),
            old,
        )
    if aliases:
        upsert = dialect.insert(named)
        connection.execute(
            upsert.on_conflict_do_update(index_elements=named.primary_key, set_={"version": upsert.excluded.version}),
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
    """The keys of each model's recorded promotions, oldest first."""
    table = _table(registered.SqlRegisteredModelTag)
    found = defaultdict[str, list[str]](list)
    # Not asked for by key: the database would then walk through the promotions of all models.
    for name, key in connection.execute(sa.select(table.c.name, table.c.key).where(*_among(table, names))):
        if key.startswith(EVENT_TAG):
            found[name].append(key)
    for keys in found.values():
        keys.sort()
    return found


def _after(events: Sequence[str]) -> datetime:
    """Now, or just after the newest event where another host's clock is ahead: the order of keys is that of moves."""
    now = datetime.now(UTC)
    if not events:
        return now
    newest = datetime.strptime(events[-1].removeprefix(EVENT_TAG), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return max(now, newest + timedelta(microseconds=1))


def _among(table: sa.Table, names: Sequence[str]) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
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
