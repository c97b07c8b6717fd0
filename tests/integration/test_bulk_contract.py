"""What the writers leave in MLflow's tables and files, held to what MLflow itself leaves there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from mlflow.artifacts import download_artifacts
from prophet import Prophet

from registry.api_writer import ApiWriter
from registry.bulk_writer import SCHEMA, BulkWriter
from registry.log import JobLog
from registry.records import SegmentRecord
from registry.registry import Registry
from registry.versions import ModelVersion
from tests.integration.ordinary import log_ordinarily, record_of

WRITERS = {"bulk": BulkWriter, "api": ApiWriter}
Table = list[dict[str, Any]]


@pytest.fixture(params=["sqlite", "postgresql"])
def both_stores(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty store in SQLite, and one in PostgreSQL."""
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", (tmp_path / "files").as_uri())
    return Registry(request.getfixturevalue("store" if request.param == "sqlite" else "postgres_url"))


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


def alike(tables: dict[str, Table], labels: dict[str, str]) -> dict[str, Table]:
    """Put labels in the place of what must differ: names, ids and times, but not which belongs to which."""
    plain = defaultdict(list)
    for table, rows in tables.items():
        for row in rows:
            plain[table].append({column: _plain(column, value, labels) for column, value in row.items()})
        plain[table].sort(key=repr)
    return dict(plain)


def _plain(column: str, value: Any, labels: dict[str, str]) -> Any:
    if "time" in column and isinstance(value, int):
        return "a time"
    if column == "input_uuid":
        return f"{len(value)} hex digits"
    if not isinstance(value, str):
        return value
    for known, label in labels.items():
        value = value.replace(known, label)
    return re.sub(r"(?<=champion\.event\.)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", "a time", value)


def labels_of(version: ModelVersion, source: str) -> dict[str, str]:
    """What is peculiar to one version, and the label that stands for it."""
    assert version.run_id is not None
    return {source.removeprefix("models:/"): "MODEL", version.run_id: "RUN", version.segment: "SEGMENT"}


def source_of(registry: Registry, version: ModelVersion) -> str:
    return registry.client.get_model_version(version.name, str(version.version)).source


def files_of(registry: Registry, version: ModelVersion) -> dict[str, Any]:
    """The version's files; MLmodel as a document, without its ids and its time."""
    folder = Path(download_artifacts(f"models:/{version.name}/{version.version}", tracking_uri=registry.uri))
    files: dict[str, Any] = {path.name: path.read_bytes() for path in folder.iterdir()}
    files["MLmodel"] = _documented(files["MLmodel"].decode(), labels_of(version, source_of(registry, version)))
    files.pop("registered_model_meta", None)  # MLflow puts it beside every version that it has downloaded
    return files


def _documented(text: str, labels: dict[str, str]) -> dict[str, Any]:
    for known, label in labels.items():
        text = text.replace(known, label)
    document: dict[str, Any] = yaml.safe_load(text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", document.pop("utc_time_created"))
    return document


@pytest.mark.parametrize("kind", ["bulk", "api"])
def test_rows_and_files_are_those_of_log_model(both_stores: Registry, prophet: Prophet, kind: str) -> None:
    """Table by table and column by column, for a segment's first version and for its second; nothing is excepted."""
    registry = both_stores
    with JobLog(registry, "job", {}) as job:
        writer = WRITERS[kind](registry, job.run_id, job.experiment)

        def write(record: SegmentRecord) -> ModelVersion:
            [version] = writer.write([record])
            assert isinstance(version, ModelVersion)
            return version

        def log(record: SegmentRecord) -> ModelVersion:
            return log_ordinarily(registry, job, prophet, record)

        for inputs in ((), ("price", "cap")):
            rows, files = zip(
                *(
                    _left(registry, lambda way=way, segment=segment: way(record_of(prophet, segment, inputs=inputs)))
                    for way, segment in ((log, "by hand"), (write, "by us"))
                ),
                strict=True,
            )
            assert rows[0].keys() == rows[1].keys()
            for table in rows[0]:
                assert rows[1][table] == rows[0][table], table
            assert files[1] == files[0]


def _left(registry: Registry, act: Callable[[], ModelVersion]) -> tuple[dict[str, Table], dict[str, Any]]:
    """The rows and files that an act leaves behind."""
    before = tables_of(registry)
    version = act()
    after = tables_of(registry)
    labels = labels_of(version, source_of(registry, version))
    return alike(added(before, after), labels), files_of(registry, version)


def test_a_failures_run_is_the_same_from_both_writers(both_stores: Registry) -> None:
    """One FAILED child run with its reason, whatever characters the segment's key has."""
    with JobLog(both_stores, "job", {}) as job:
        left = []
        for writer in (ApiWriter, BulkWriter):
            before = tables_of(both_stores)
            writer(both_stores, job.run_id, job.experiment).write_failures({"bad\0" + "k" * 300: "no \ud800 rows"})
            rows = added(before, tables_of(both_stores))
            left.append(alike(rows, {rows["runs"][0]["run_uuid"]: "RUN"}))
    assert left[0] == left[1]
    assert left[0]["runs"][0]["status"] == "FAILED"


def test_the_schema_is_that_of_the_pinned_mlflow(registry: Registry) -> None:
    """An MLflow with other tables fails here first."""
    registry.ping()
    assert tables_of(registry)["alembic_version"] == [{"version_num": SCHEMA}]
