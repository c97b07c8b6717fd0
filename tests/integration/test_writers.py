"""Segments that our writers registered, used in every way that MLflow offers, beside one that log_model logged."""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pytest
import sqlalchemy as sa
from mlflow.exceptions import MlflowException
from prophet import Prophet

from benchmarks.servers import serving as running
from forecasting.future import make_future
from forecasting.predict import predict
from forecasting.state import ForecastModel
from registry.api_writer import ApiWriter
from registry.errors import BadRecord, BadSegment, RegistryUnavailable, UnknownVersion
from registry.log import JobLog
from registry.names import model_name
from registry.records import Writer
from registry.registry import KEPT_EVENTS, Registry
from registry.tables.writer import CHUNK, BulkWriter
from registry.versions import ModelVersion
from registry.writer import open_writer
from tests.integration.ordinary import alike, collect_garbage, labels_of, log_ordinarily, record_of


@pytest.fixture
def job(registry: Registry) -> JobLog:
    return JobLog(registry, "job", {})


def written(writer: Writer, *records: Any) -> list[ModelVersion]:
    """Write records that must all succeed."""
    outcomes = writer.write(records)
    assert all(isinstance(outcome, ModelVersion) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, ModelVersion)]


def test_a_segment_is_loaded_searched_tagged_moved_and_deleted_as_any_other(
    both_stores: Registry, prophet: Prophet
) -> None:
    """Through MLflow's own client; our catalogue reads it too."""
    registry, client = both_stores, both_stores.client
    job = JobLog(registry, "job", {})
    assert isinstance(job.writer, BulkWriter)
    [first, second, other] = written(
        job.writer,
        *(record_of(prophet, segment, metrics={"mase": 0.5}) for segment in ("shop/ä 100%", "shop/ä 100%", "b")),
    )
    name = model_name("shop/ä 100%")
    assert (first.version, second.version, other.version) == (1, 2, 1)
    assert registry.version("b", 1) == other

    mlflow.set_tracking_uri(registry.uri)
    mlflow.set_registry_uri(registry.uri)
    future = prophet.make_future_dataframe(14, include_history=False)
    expected = prophet.predict(future)["yhat"].to_numpy()
    assert mlflow.prophet.load_model(f"models:/{name}@champion").predict(future)["yhat"].to_numpy() == pytest.approx(
        expected, rel=1e-12
    )
    assert mlflow.pyfunc.load_model(f"models:/{name}/1").predict(future)["yhat"].to_numpy() == pytest.approx(expected)
    ours = registry.load(second)
    assert isinstance(ours, ForecastModel)
    assert predict(ours, make_future(ours, 14)).yhat == pytest.approx(expected, rel=1e-12)

    [experiment] = {client.get_run(version.run_id or "").info.experiment_id for version in (first, second, other)}
    found = client.search_runs(
        [experiment], "metrics.mase < 1 and params.growth = 'linear' and tags.`forecast.freq` = 'D'"
    )
    assert {run.info.run_id for run in found} == {first.run_id, second.run_id, other.run_id}
    models = client.search_logged_models([experiment], "metrics.mase < 1 AND params.growth = 'linear'")
    assert {model.source_run_id for model in models} == {first.run_id, second.run_id, other.run_id}
    assert {found.version for found in client.search_model_versions("tags.`forecast.freq` = 'D'")} == {1, 2}
    assert {found.name for found in client.search_registered_models("name LIKE 'forecast.shop%'")} == {name}

    client.set_model_version_tag(name, "1", "note", "seen")
    client.set_registered_model_alias(name, "champion", "1")
    assert registry.champion("shop/ä 100%").tags["note"] == "seen"
    client.delete_model_version(name, "2")
    assert registry.aliases("shop/ä 100%") == {"champion": 1}
    [third] = written(job.writer, record_of(prophet, "shop/ä 100%"))
    assert third.version == 3, "the number of a deleted version is not given again"
    client.delete_run(other.run_id)
    client.delete_registered_model(other.name)
    assert {run.info.run_name for run in client.search_runs([experiment])} == {"job", "shop/ä 100%"}
    with pytest.raises(MlflowException, match="not found"):
        client.get_registered_model(other.name)
    [again] = written(job.writer, record_of(prophet, "b"))
    assert again.version == 1


@pytest.mark.parametrize("kind", [BulkWriter, ApiWriter])
def test_a_bad_record_costs_its_neighbours_nothing(
    registry: Registry, job: JobLog, prophet: Prophet, kind: type[BulkWriter | ApiWriter]
) -> None:
    """Outcomes come in order, each with its own error."""
    good = record_of(prophet, "good")
    records = [
        good,
        replace(good, segment="k" * 300),
        replace(good, segment=""),
        replace(good, segment="nul", tags={"a": "b\0"}),
        replace(good, segment="half", params={"a": "\ud800"}),
        replace(good, segment="key", metrics={"x" * 300: 1.0}),
        replace(good, segment="tag", tags={"a": "x" * 200_000}),
        replace(good, segment="none", metrics={"a": None}),  # type: ignore[dict-item]
        replace(good, segment="also good", metrics={"a": np.float32(0.5)}),  # type: ignore[dict-item]
    ]
    outcomes = kind(registry, job.run_id, job.experiment).write(records)
    expected = [ModelVersion, BadSegment, BadSegment, *[BadRecord] * 5, ModelVersion]
    assert [type(outcome) for outcome in outcomes] == expected
    assert {champion.segment for champion in registry.champions(100)[0]} == {"good", "also good"}


def test_more_than_a_chunk_keeps_its_order(job: JobLog, prophet: Prophet) -> None:
    """Several transactions, one list of outcomes."""
    plain = record_of(prophet, "", model_json='{"not": "loaded"}', params={}, metrics={}, tags={})
    versions = written(job.writer, *(replace(plain, segment=f"s{number}") for number in range(CHUNK + 3)))
    assert [version.segment for version in versions] == [f"s{number}" for number in range(CHUNK + 3)]
    assert job.writer.write([]) == []


@pytest.mark.parametrize("kind", [BulkWriter, ApiWriter])
def test_only_what_is_to_be_promoted_becomes_the_champion(
    registry: Registry, job: JobLog, prophet: Prophet, kind: type[BulkWriter | ApiWriter]
) -> None:
    """The rest is a challenger; a promotion names the champion before it, and rolls back to it."""
    writer = kind(registry, job.run_id, job.experiment)
    record = record_of(prophet, "a", reason="x" * 600)
    for promote in (True, False, True):
        written(writer, replace(record, promote=promote))
    assert registry.aliases("a") == {"champion": 3, "challenger": 3}
    assert [(move.version, move.previous) for move in registry.history("a")] == [(3, 1), (1, None)]
    assert registry.history("a")[0].reason == "x" * 500
    assert registry.rollback("a").version == 1
    written(writer, replace(record, promote=False))
    assert registry.aliases("a") == {"champion": 1, "challenger": 4}


def test_no_store_stays_named_to_mlflow(registry: Registry, job: JobLog, prophet: Prophet, tmp_path: Path) -> None:
    """What was named before is named again: MLflow hands the name to every child of this process."""
    writer = ApiWriter(registry, job.run_id, job.experiment)
    for named in (None, f"sqlite:///{tmp_path}/another.db"):
        if named is not None:
            mlflow.set_tracking_uri(named)
        before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
        assert before["MLFLOW_TRACKING_URI"] == named
        written(writer, record_of(prophet, "a"))
        assert {name: os.environ.get(name) for name in before} == before
        assert mlflow.is_tracking_uri_set() is (named is not None)
    assert mlflow.get_tracking_uri() == named
    assert registry.champion("a").version == 2


def test_only_the_newest_promotions_are_kept(registry: Registry, job: JobLog, prophet: Prophet) -> None:
    """And they stay in order where another host's clock was ahead."""
    name = model_name("a")
    registry.client.create_registered_model(name)
    ahead = "champion.event.2999-01-01T00:00:00.999999Z"
    body = {"action": "promote", "version": 7, "previous": None, "reason": ""}
    registry.client.set_registered_model_tag(name, ahead, json.dumps(body))
    plain = record_of(prophet, "a", model_json="{}", params={}, metrics={}, tags={})
    written(job.writer, *[plain] * 3)
    assert [move.version for move in registry.history("a")] == [3, 2, 1, 7]
    written(job.writer, *[plain] * KEPT_EVENTS)
    assert [move.version for move in registry.history("a")] == list(range(KEPT_EVENTS + 3, 3, -1))


class BetweenTransactions:
    """Does something after a writer's first transaction, when it connects for its second."""

    def __init__(self, writer: BulkWriter, act: Any) -> None:
        self._connected, self._act = 0, act
        sa.event.listen(writer._engine, "connect", self)

    def __call__(self, *_: object) -> None:
        self._connected += 1
        if self._connected == 2:
            self._act()


def test_a_store_that_goes_away_before_the_aliases_leaves_the_champion(
    registry: Registry, job: JobLog, prophet: Prophet
) -> None:
    """The versions are there, the error says so, and what was served is served."""

    def lose() -> None:
        raise OSError("gone")

    written(job.writer, record_of(prophet, "a"))
    writer = BulkWriter(registry, job.run_id, job.experiment)
    BetweenTransactions(writer, lose)
    [outcome] = writer.write([record_of(prophet, "a")])
    assert isinstance(outcome, RegistryUnavailable)
    assert "version 2 is registered, but no alias names it" in str(outcome)
    assert registry.aliases("a") == {"champion": 1, "challenger": 1}
    assert len(registry.versions("a")) == 2


def test_a_version_that_is_deleted_at_once_gets_no_alias(registry: Registry, job: JobLog, prophet: Prophet) -> None:
    """No alias may name what is not there; the neighbour is promoted."""
    writer = BulkWriter(registry, job.run_id, job.experiment)
    BetweenTransactions(writer, lambda: registry.client.delete_model_version(model_name("a"), "1"))
    gone, other = writer.write([record_of(prophet, "a"), record_of(prophet, "b")])
    assert isinstance(gone, UnknownVersion)
    assert isinstance(other, ModelVersion)
    assert registry.aliases("a") == {}
    assert registry.champion("b").version == 1


def test_a_database_that_refuses_is_every_records_error(registry: Registry, job: JobLog, prophet: Prophet) -> None:
    """One error a record, and nothing registered."""
    writer = job.writer
    engine = sa.create_engine(registry.uri, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE inputs"))
    outcomes = writer.write([record_of(prophet, "a"), record_of(prophet, "b")])
    assert [type(outcome) for outcome in outcomes] == [RegistryUnavailable] * 2
    assert registry.champions(10) == ([], None)


def test_tables_of_another_mlflow_are_left_to_the_api(
    registry: Registry, job: JobLog, prophet: Prophet, caplog: pytest.LogCaptureFixture
) -> None:
    """With one warning that says why."""
    engine = sa.create_engine(registry.uri, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'abcdef123456'"))
    with caplog.at_level(logging.WARNING, "registry"):
        writer = open_writer(registry, job.run_id, job.experiment)
    assert isinstance(writer, ApiWriter)
    [warning] = [entry.getMessage() for entry in caplog.records if entry.name == "registry.writer"]
    assert "abcdef123456" in warning
    written(writer, record_of(prophet, "a"))
    assert registry.champion("a").version == 1


def test_a_tracking_server_is_written_to_through_its_api(
    mlflow_server: str, prophet: Prophet, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows over HTTP, files through the server, and no line on stdout for each run; MLflow loads the champion."""
    registry = Registry(mlflow_server)
    with JobLog(registry, "job", {}) as job, caplog.at_level(logging.WARNING, "registry"):
        [version] = written(job.writer, record_of(prophet, "over http"))
    assert "neither SQLite nor a PostgreSQL" in caplog.text
    assert capsys.readouterr().out == ""
    mlflow.set_tracking_uri(registry.uri)
    mlflow.set_registry_uri(registry.uri)
    loaded = mlflow.prophet.load_model(f"models:/{version.name}@champion")
    assert loaded.params["k"] == pytest.approx(prophet.params["k"])
    [linked] = registry.client.search_logged_models([job.experiment], f"source_run_id = '{version.run_id}'")
    assert json.loads(linked.tags["mlflow.modelVersions"]) == [{"name": version.name, "version": 1}]


def test_files_go_to_an_artifact_store_that_is_no_folder(
    mlflow_server: str, registry: Registry, prophet: Prophet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows straight into the database, files over HTTP."""
    root = f"{mlflow_server}/api/2.0/mlflow-artifacts/artifacts"
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", root)
    with JobLog(registry, "job", {}) as job:
        assert isinstance(job.writer, BulkWriter)
        [version] = written(job.writer, record_of(prophet, "far away"))
    assert registry.client.get_model_version_download_uri(version.name, "1").startswith(root)
    assert isinstance(registry.load(registry.champion("far away")), ForecastModel)


def test_the_requests_of_mlflows_pages_get_the_same_answers(
    mlflow_server: str, session_postgres_store: str, tmp_path: Path, prophet: Prophet
) -> None:
    """A real server on the store that was written to directly, asked for a segment of log_model and for one of ours."""
    registry = Registry(session_postgres_store)
    experiment = registry.client.create_experiment("pages", artifact_location=tmp_path.as_uri())
    job_run_id = registry.client.create_run(experiment).info.run_id
    first = log_ordinarily(registry, job_run_id, prophet, record_of(prophet, "by hand"))
    [second] = written(BulkWriter(registry, job_run_id, experiment), record_of(prophet, "by us"))
    by_hand, by_us = (
        _pages(mlflow_server, experiment, version, labels_of(registry, version)) for version in (first, second)
    )
    assert by_us == by_hand
    assert len(by_hand["runs"]["runs"]) == 1
    assert by_hand["alias"]["model_version"]["version"] == "1"


def _pages(url: str, experiment: str, version: ModelVersion, labels: dict[str, str]) -> dict[str, Any]:
    """What the pages of a run, a logged model and a registered model ask for."""
    [model_id] = [known for known, label in labels.items() if label == "MODEL"]
    named, numbered = {"name": version.name}, {"name": version.name, "version": version.version}
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        api = "/ajax-api/2.0/mlflow"
        own = {"experiment_ids": [experiment]}
        asked = {
            "runs": client.post(f"{api}/runs/search", json=own | {"filter": f"run_name = '{version.segment}'"}),
            "run": client.get(f"{api}/runs/get", params={"run_id": version.run_id}),
            "history": client.get(
                f"{api}/metrics/get-history", params={"run_id": version.run_id, "metric_key": "backtest.mase"}
            ),
            "files of the run": client.get(f"{api}/artifacts/list", params={"run_id": version.run_id}),
            "logged models": client.post(
                f"{api}/logged-models/search", json=own | {"filter": f"source_run_id = '{version.run_id}'"}
            ),
            "logged model": client.get(f"{api}/logged-models/{model_id}"),
            "files": client.get(f"{api}/logged-models/{model_id}/artifacts/directories"),
            "registered model": client.get(f"{api}/registered-models/get", params=named),
            "versions": client.get(f"{api}/model-versions/search", params={"filter": f"name = '{version.name}'"}),
            "version": client.get(f"{api}/model-versions/get", params=numbered),
            "alias": client.get(f"{api}/registered-models/alias", params=named | {"alias": "champion"}),
        }
        fetched = {
            "data": client.get("/model-versions/get-artifact", params=numbered | {"path": "model.pr"}),
            "requirements": client.get(
                f"{api}/logged-models/{model_id}/artifacts/files", params={"artifact_file_path": "requirements.txt"}
            ),
        }
    for response in (asked | fetched).values():
        response.raise_for_status()
    answers = {page: alike(response.json(), labels) for page, response in asked.items()}
    return answers | {page: response.content for page, response in fetched.items()}


def test_mlflow_gc_takes_away_what_was_deleted(registry: Registry, job: JobLog, prophet: Prophet) -> None:
    """Rows and files of a deleted run and of a deleted logged model, and nothing else."""
    kept, gone = written(job.writer, record_of(prophet, "kept"), record_of(prophet, "gone"))
    client = registry.client
    source = client.get_model_version(gone.name, "1").source
    folder = Path(client.get_model_version_download_uri(gone.name, "1").removeprefix("file://"))
    assert (folder / "model.pr").exists()
    client.delete_registered_model(gone.name)
    client.delete_logged_model(source.removeprefix("models:/"))
    client.delete_run(gone.run_id)
    collect_garbage(registry)
    assert not (folder / "model.pr").exists()
    with pytest.raises(MlflowException, match="not found"):
        client.get_run(gone.run_id)
    assert isinstance(registry.load(kept), ForecastModel)


@pytest.mark.slow
def test_mlflow_models_serve_answers_for_a_segment(registry: Registry, job: JobLog, prophet: Prophet) -> None:
    """MLflow's own scoring server predicts what Prophet predicts."""
    [version] = written(job.writer, record_of(prophet, "a"))
    future = prophet.make_future_dataframe(5, include_history=False)
    body = {"dataframe_split": {"columns": ["ds"], "data": [[str(day)] for day in future["ds"]]}}
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", f"models:/{version.name}@champion"]
    command += ["--host", "127.0.0.1", "--port", "{port}", "--env-manager", "local"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where it looks for uvicorn
    tracking = {"MLFLOW_TRACKING_URI": registry.uri, "MLFLOW_REGISTRY_URI": registry.uri, "PATH": path}
    with running(command, ready="/ping", env=tracking) as url:
        response = httpx.post(f"{url}/invocations", json=body, trust_env=False, timeout=60).raise_for_status()
    answered = [row["yhat"] for row in response.json()["predictions"]]
    assert answered == pytest.approx(prophet.predict(future)["yhat"].tolist())
