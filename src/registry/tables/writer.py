"""Register hundreds of segments a transaction, straight into the tables that MLflow keeps in SQLite or PostgreSQL.

The rows are those that mlflow.prophet.log_model, its registration and Registry.promote leave behind;
tests/integration/test_bulk_contract.py holds them to it column by column. Files are written first, the versions'
rows in one transaction after them, and the aliases in another one last: whatever is cut off, no alias names a
version that is not whole.

A transaction holds the rows of its registered models (PostgreSQL: FOR UPDATE in the order of names; SQLite: the whole
database, from BEGIN IMMEDIATE on), so that two jobs, or a job and MLflow's own clients, never draw the same number.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import sqlalchemy as sa
from mlflow.tracking.context.registry import resolve_tags

from registry.api_writer import writing
from registry.errors import RegistryError, RegistryUnavailable
from registry.model_files import ModelFiles
from registry.records import SegmentRecord, checked, failed_run
from registry.registry import Registry
from registry.store import quiet_mlflow
from registry.tables.aliases import ensure_registered, highest_versions, move_aliases
from registry.tables.ids import new_id
from registry.tables.rows import Draft, Job, Rows, joined
from registry.tables.schema import engine_of
from registry.versions import ModelVersion

CHUNK = 500  # segments a transaction
_STORING = 8  # versions whose files are stored at once


class BulkWriter:
    """Writes to the tables of SCHEMA, which open_writer makes sure of; see records.Writer for the contract."""

    def __init__(self, registry: Registry, job_run_id: str, experiment: str) -> None:
        with writing():
            root = registry.client.get_experiment(experiment).artifact_location
        self._job = Job(job_run_id, int(experiment), root, resolve_tags())
        self._files = ModelFiles(registry.uri)
        self._engine = engine_of(registry.uri)

    def write(self, records: Iterable[SegmentRecord]) -> list[ModelVersion | RegistryError]:
        """Register each record, promote those that ask for it, and say in order what came of each."""
        everything = list(records)
        chunks = (everything[start : start + CHUNK] for start in range(0, len(everything), CHUNK))
        return [outcome for chunk in chunks for outcome in self._write_chunk(chunk)]

    def write_failures(self, failures: Mapping[str, str]) -> None:
        """Keep a FAILED child run for each segment, its reason as the tag `failure`. Raises RegistryUnavailable."""
        rows, now = Rows(self._job), _now()
        for segment, reason in failures.items():
            name, tags = failed_run(segment, reason)
            rows.add_run(new_id(), name, tags, "FAILED", start_time=now, end_time=now)
        with writing(), self._engine.begin() as connection:
            rows.insert(connection)

    def _write_chunk(self, records: Sequence[SegmentRecord]) -> list[ModelVersion | RegistryError]:
        """Files, then versions, then aliases; an error is its record's own, or of all that are in the transaction."""
        with quiet_mlflow(), ThreadPoolExecutor(_STORING) as pool:
            drafts = list(pool.map(self._draft, records))
        whole = [draft for draft in drafts if isinstance(draft, Draft)]
        if not whole:
            return [draft for draft in drafts if isinstance(draft, RegistryError)]
        outcomes: dict[Draft, ModelVersion | RegistryError] = {}
        try:
            with writing(), self._engine.begin() as connection:
                versions = self._insert_versions(connection, whole)
            outcomes.update(versions)
            with writing(), self._engine.begin() as connection:
                outcomes.update(move_aliases(connection, versions))
        except RegistryError as error:
            outcomes = {draft: _told(error, outcomes.get(draft)) for draft in whole}
        return [outcomes[draft] if isinstance(draft, Draft) else draft for draft in drafts]

    def _draft(self, record: SegmentRecord) -> Draft | RegistryError:
        """Check a record and store its files."""
        started, run_id, model_id = _now(), new_id(), f"m-{new_id()}"
        location = joined(self._job.root, "models", model_id, "artifacts")
        try:
            record = checked(record)
            self._files.save(record.model_json, record.inputs, location=location, run_id=run_id, model_id=model_id)
        except RegistryError as error:
            return error
        except Exception as error:  # each kind of artifact store has exceptions of its own
            return RegistryUnavailable(f"the files of segment {record.segment!r} cannot be stored: {error}")
        return Draft(record, record.name, run_id, model_id, location, started)

    def _insert_versions(self, connection: sa.Connection, drafts: Sequence[Draft]) -> dict[Draft, ModelVersion]:
        """Insert every row but the aliases, with the next number of each segment."""
        now, names = _now(), sorted({draft.name for draft in drafts})
        ensure_registered(connection, names, now)
        highest = highest_versions(connection, names)
        rows, versions = Rows(self._job), {}
        for draft in drafts:
            number = highest[draft.name] = highest[draft.name] + 1
            rows.add_draft(draft, now, number)
            created, tags = datetime.fromtimestamp(now / 1000, UTC), dict(draft.record.tags)
            versions[draft] = ModelVersion(draft.record.segment, draft.name, number, draft.run_id, tags, created)
        rows.insert(connection)
        return versions


def _now() -> int:
    return int(time.time() * 1000)


def _told(error: RegistryError, version: ModelVersion | RegistryError | None) -> RegistryError:
    """Say of an error that came after the versions that those stand."""
    if not isinstance(version, ModelVersion):
        return error
    return RegistryUnavailable(f"version {version.version} is registered, but no alias names it: {error}")
