"""What the writers leave in MLflow's tables and files, held to what MLflow itself leaves there."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from mlflow.artifacts import download_artifacts
from prophet import Prophet

from registry.api_writer import ApiWriter
from registry.log import JobLog
from registry.records import SegmentRecord, Writer
from registry.registry import Registry
from registry.tables.schema import SCHEMA
from registry.tables.writer import BulkWriter
from registry.versions import ModelVersion
from tests.integration.ordinary import alike, labels_of, log_ordinarily, record_of

WRITERS = {"bulk": BulkWriter, "api": ApiWriter}
Table = list[dict[str, Any]]
TABLES = {
    *("runs", "params", "metrics", "latest_metrics", "tags", "inputs"),
    *("logged_models", "logged_model_params", "logged_model_metrics", "logged_model_tags"),
    *("registered_models", "registered_model_tags", "registered_model_aliases"),
    *("model_versions", "model_version_tags"),
}


def tables_of(registry: Registry) -> dict[str, Table]:
    """Every row of every table."""
    engine, schema = sa.create_engine(registry.uri), sa.MetaData()
    schema.reflect(engine)
    with engine.connect() as connection:
        found = {name: connection.execute(sa.select(table)) for name, table in schema.tables.items()}
        rows = {name: [dict(row) for row in result.mappings()] for name, result in found.items()}
    engine.dispose()
    return rows


def added(before: dict[str, Table], after: dict[str, Table]) -> dict[str, Table]:
    """The rows that are there now and were not, or not so, before."""
    return {name: [row for row in rows if row not in before[name]] for name, rows in after.items()}


def files_of(registry: Registry, version: ModelVersion) -> dict[str, str]:
    """The text of the version's files, with labels for its ids and its time."""
    folder = Path(download_artifacts(f"models:/{version.name}/{version.version}", tracking_uri=registry.uri))
    files = {path.name: alike(path.read_text(), labels_of(registry, version)) for path in folder.iterdir()}
    files["MLmodel"] = re.sub(r"(?<=utc_time_created: ')\d{4}-\d\d-\d\d [\d:.]+", "a time", files["MLmodel"])
    files.pop("registered_model_meta", None)  # MLflow puts it beside every version that it has downloaded
    return files


@pytest.mark.parametrize("kind", ["bulk", "api"])
def test_rows_and_files_are_those_of_log_model(both_stores: Registry, prophet: Prophet, kind: str) -> None:
    """Table by table and column by column, for a segment's first version and for its second; nothing is excepted."""
    registry = both_stores
    with JobLog(registry, "job", {}) as job:
        writer = WRITERS[kind](registry, job.run_id, job.experiment)
        for inputs in ((), ("price", "cap")):
            by_hand, by_us = (record_of(prophet, segment, inputs=inputs) for segment in ("by hand", "by us"))
            rows, files = _left(registry, partial(log_ordinarily, registry, job.run_id, prophet, by_hand))
            our_rows, our_files = _left(registry, partial(_write, writer, by_us))
            assert {table for table, added_rows in rows.items() if added_rows} == TABLES
            for table in rows:
                assert our_rows[table] == rows[table], table
            assert our_files == files
            assert files.keys() == {"MLmodel", "model.pr", "conda.yaml", "python_env.yaml", "requirements.txt"}


def _write(writer: Writer, record: SegmentRecord) -> ModelVersion:
    [version] = writer.write([record])
    assert isinstance(version, ModelVersion)
    return version


def _left(registry: Registry, act: Callable[[], ModelVersion]) -> tuple[dict[str, Table], dict[str, str]]:
    """The rows and files that an act leaves behind, with labels for what is peculiar to them."""
    before = tables_of(registry)
    version = act()
    rows = added(before, tables_of(registry))
    return _labelled(rows, labels_of(registry, version)), files_of(registry, version)


def _labelled(tables: dict[str, Table], labels: dict[str, str]) -> dict[str, Table]:
    return {table: sorted((alike(row, labels) for row in rows), key=repr) for table, rows in tables.items()}


def test_a_failures_run_is_the_same_from_both_writers(both_stores: Registry) -> None:
    """One FAILED child run with its reason, whatever characters the segment's key has."""
    with JobLog(both_stores, "job", {}) as job:
        left = []
        for writer in (ApiWriter, BulkWriter):
            before = tables_of(both_stores)
            writer(both_stores, job.run_id, job.experiment).write_failures({"bad\0" + "k" * 300: "no \ud800 rows"})
            rows = added(before, tables_of(both_stores))
            left.append(_labelled(rows, {rows["runs"][0]["run_uuid"]: "RUN"}))
    assert left[0] == left[1]
    assert left[0]["runs"][0]["status"] == "FAILED"


def test_the_schema_is_that_of_the_pinned_mlflow(registry: Registry) -> None:
    """An MLflow with other tables fails here first."""
    registry.ping()
    assert tables_of(registry)["alembic_version"] == [{"version_num": SCHEMA}]
