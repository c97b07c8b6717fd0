"""The rows that one segment leaves in MLflow's tables: a run, a logged model and a version."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from mlflow.entities import LoggedModelStatus
from mlflow.entities.model_registry.model_version_stages import STAGE_NONE
from mlflow.store.model_registry.dbmodels import models as registered
from mlflow.store.tracking.dbmodels import models as tracked
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from mlflow.utils.uri import append_to_uri_path
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

from registry.api_writer import link
from registry.model_files import MODEL_NAME
from registry.records import SegmentRecord, run_tags
from registry.tables.ids import new_id
from registry.tables.schema import table_of

_LARGEST = 1.7976931348623157e308  # what MLflow stores for infinity


@dataclass(frozen=True)
class Job:
    """What the rows of all segments of a job share. root: of the artifacts; context: the tags of its logged models."""

    run_id: str
    experiment: int
    root: str
    context: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Draft:
    """A record whose files are stored, and which is not yet in the database."""

    record: SegmentRecord
    name: str
    run_id: str
    model_id: str
    location: str
    started: int


class Rows:
    """Rows to be inserted, by table; the tables in the order of their first rows, so parents go before children."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._rows: dict[sa.Table, list[dict[str, Any]]] = defaultdict(list)

    def insert(self, connection: sa.Connection) -> None:
        """Insert all of them."""
        for table, rows in self._rows.items():
            connection.execute(sa.insert(table), rows)

    def add_draft(self, draft: Draft, now: int, number: int) -> None:
        """Add all rows of a version but its registered model's and its aliases'."""
        self._add_tracked(draft, now, number)
        self._add_version(draft, now, number)

    def add_run(self, run_id: str, name: str, tags: Mapping[str, str], status: str, **span: int) -> None:
        """Add a segment's run. span: its start_time and end_time, in milliseconds."""
        self._add(
            tracked.SqlRun,
            **span,
            run_uuid=run_id,
            name=name,
            status=status,
            experiment_id=self._job.experiment,
            artifact_uri=joined(self._job.root, run_id, "artifacts"),
            lifecycle_stage="active",
            source_type="UNKNOWN",
            source_name="",
            source_version="",
            entry_point_name="",
            user_id="unknown",
        )
        for key, value in {MLFLOW_RUN_NAME: name, MLFLOW_PARENT_RUN_ID: self._job.run_id, **tags}.items():
            self._add(tracked.SqlTag, run_uuid=run_id, key=key, value=value)

    def _add_tracked(self, draft: Draft, now: int, number: int) -> None:
        """Add the run and the logged model, each with its params, metrics and tags, and what links them."""
        record, run_id = draft.record, draft.run_id
        model = {"model_id": draft.model_id, "experiment_id": self._job.experiment}
        self.add_run(run_id, record.segment, run_tags(record.tags), "FINISHED", start_time=draft.started, end_time=now)
        self._add(
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
            self._add(tracked.SqlParam, run_uuid=run_id, key=key, value=value)
            self._add(tracked.SqlLoggedModelParam, **model, param_key=key, param_value=value)
        for key, measured in record.metrics.items():
            is_nan, stored = _in_sql(measured)
            metric = {"run_uuid": run_id, "key": key, "value": stored, "is_nan": is_nan, "timestamp": now, "step": 0}
            self._add(tracked.SqlMetric, **metric)
            self._add(tracked.SqlLatestMetric, **metric)
            self._add(
                tracked.SqlLoggedModelMetric,
                **model,
                run_id=run_id,
                metric_name=key,
                metric_value=stored,
                metric_timestamp_ms=now,
                metric_step=0,
            )
        for key, value in {**self._job.context, MLFLOW_MODEL_VERSIONS: link(draft.name, number)}.items():
            self._add(tracked.SqlLoggedModelTag, **model, tag_key=key, tag_value=value)
        self._add(
            tracked.SqlInput,
            input_uuid=new_id(),
            source_type="RUN_OUTPUT",
            source_id=run_id,
            destination_type="MODEL_OUTPUT",
            destination_id=draft.model_id,
            step=0,
        )

    def _add_version(self, draft: Draft, now: int, number: int) -> None:
        version = {"workspace": DEFAULT_WORKSPACE_NAME, "name": draft.name, "version": number}
        self._add(
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
            self._add(registered.SqlModelVersionTag, **version, key=key, value=value)

    def _add(self, model: Any, **row: Any) -> None:
        self._rows[table_of(model)].append(row)


def joined(root: str, *parts: str) -> str:
    """A place under a store's root, which may be a URI with a query."""
    return str(append_to_uri_path(root, *parts))  # type: ignore[no-untyped-call]


def _in_sql(value: float) -> tuple[bool, float]:
    """Whether a metric is NaN, and the number that MLflow stores for it: SQL has no NaN and no infinity."""
    return (True, 0.0) if math.isnan(value) else (False, max(-_LARGEST, min(_LARGEST, value)))
