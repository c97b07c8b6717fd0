"""The registry against a real MLflow store: promote, roll back, list, load, refuse."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlflow.artifacts import download_artifacts
from prophet import Prophet

from forecasting.future import make_future
from forecasting.predict import predict
from forecasting.state import ForecastModel
from registry.errors import (
    BadArtifact,
    BadPageToken,
    NoChampion,
    NothingToRollBackTo,
    RegistryUnavailable,
    UnknownSegment,
    UnknownVersion,
)
from registry.log import JobLog
from registry.names import model_name
from registry.registry import KEPT_EVENTS, Registry
from registry.versions import ModelVersion

Log = Callable[[str], ModelVersion]


def test_a_logged_version_is_an_ordinary_mlflow_model(registry: Registry, log_version: Log, prophet: Prophet) -> None:
    """MLflow's own loader gives back a Prophet that predicts the same, and so does ours."""
    version = log_version("shop/a")
    registry.promote("shop/a", version.version)
    future = prophet.make_future_dataframe(14, include_history=False)
    expected = prophet.predict(future)["yhat"].to_numpy()
    mlflow.set_tracking_uri(registry.uri)
    mlflow.set_registry_uri(registry.uri)
    by_mlflow = mlflow.prophet.load_model(f"models:/{model_name('shop/a')}@champion")
    assert by_mlflow.predict(future)["yhat"].to_numpy() == pytest.approx(expected, rel=1e-12)
    ours = registry.load(version)
    assert isinstance(ours, ForecastModel)
    assert predict(ours, make_future(ours, 14)).yhat == pytest.approx(expected, rel=1e-12)


def test_the_log_keeps_a_run_a_job_and_a_child_run_a_segment(
    registry: Registry, prophet: Prophet, tmp_path: Path
) -> None:
    """Params, metrics and tags stand on the child run, failures too; the version knows its run."""
    with JobLog(registry, "nightly", {"cutoffs": 3}) as job:
        version = job.log_segment(
            "a", prophet, params={"growth": "linear"}, metrics={"backtest.mase": 0.7}, tags={"metric.mase": "0.7"}
        )
        job.log_failure("b", "In column 'y', 1 value is not a number")
        (tmp_path / "summary").mkdir()
        (tmp_path / "summary" / "report.json").write_text('{"failed": 1}')
        job.log_summary(tmp_path / "summary", {"segments.failed": 1.0})
    runs = registry.client.search_runs([registry.client.get_run(job.run_id).info.experiment_id])
    by_name = {run.data.tags["mlflow.runName"]: run for run in runs}
    assert set(by_name) == {"nightly", "a", "b"}
    assert by_name["a"].data.tags["mlflow.parentRunId"] == job.run_id
    assert by_name["a"].data.params["growth"] == "linear"
    assert by_name["a"].data.metrics["backtest.mase"] == 0.7
    assert (by_name["b"].info.status, by_name["nightly"].info.status) == ("FAILED", "FINISHED")
    assert version.run_id == by_name["a"].info.run_id
    assert version.metrics == {"mase": 0.7}
    report = registry.client.download_artifacts(job.run_id, "report.json")
    assert Path(report).read_text() == '{"failed": 1}'


def test_promotions_are_rolled_back_one_step_at_a_time(registry: Registry, log_version: Log) -> None:
    """Each rollback goes one champion further back, and the history tells all of it."""
    for _ in range(3):
        registry.promote("a", log_version("a").version, "better")
    assert registry.champion("a").version == 3
    assert registry.rollback("a").version == 2
    assert registry.rollback("a", "worse").version == 1
    assert registry.champion("a").version == 1
    with pytest.raises(NothingToRollBackTo, match="champion 1"):
        registry.rollback("a")
    told = [(move.action, move.version, move.previous) for move in registry.history("a")]
    assert told == [
        ("rollback", 1, 2),
        ("rollback", 2, 3),
        ("promote", 3, 2),
        ("promote", 2, 1),
        ("promote", 1, None),
    ]


def test_a_champion_set_by_hand_rolls_back_to_the_version_before_it(registry: Registry, log_version: Log) -> None:
    """Plain MLflow records nothing, so the version's number decides."""
    for _ in range(2):
        log_version("a")
    registry.client.set_registered_model_alias(model_name("a"), "champion", "2")
    assert registry.history("a")[0].action == "set by hand"
    assert registry.rollback("a").version == 1


def test_a_deleted_version_is_not_rolled_back_to(registry: Registry, log_version: Log) -> None:
    """What prune has taken away is stepped over."""
    for _ in range(3):
        registry.promote("a", log_version("a").version)
    registry.client.delete_model_version(model_name("a"), "2")
    assert registry.rollback("a").version == 1


def test_only_the_newest_moves_are_kept(registry: Registry, log_version: Log) -> None:
    """A segment that is retrained for years keeps a short memory."""
    for _ in range(2):
        log_version("a")
    for number in range(KEPT_EVENTS + 5):
        registry.promote("a", 1 + number % 2)
    assert len(registry.history("a")) == KEPT_EVENTS


def test_what_is_not_there_is_named(registry: Registry, log_version: Log) -> None:
    """Unknown segment, no champion and unknown version are three different things."""
    log_version("a")
    with pytest.raises(NoChampion, match="'a'"):
        registry.champion("a")
    with pytest.raises(UnknownSegment, match="'b'"):
        registry.champion("b")
    with pytest.raises(UnknownVersion, match="9"):
        registry.version("a", 9)
    with pytest.raises(UnknownSegment):
        registry.rollback("b")


def test_champions_are_listed_page_by_page(registry: Registry, log_version: Log) -> None:
    """In the order of names; segments without a champion and other people's models are left out."""
    for segment in ("c", "a", "b", "d"):
        version = log_version(segment)
        if segment != "b":
            registry.promote(segment, version.version)
    registry.client.create_registered_model("churn")
    first, token = registry.champions(limit=2)
    assert [version.segment for version in first] == ["a"]
    second, token = registry.champions(limit=2, page_token=token)
    assert [version.segment for version in second] == ["c", "d"]
    assert token is None


@pytest.mark.parametrize(
    "content", [b"[]", b'{"offset": "x"}', b'{"offset": [1]}', b'{"offset": %d}' % 10**30, b"\xff"]
)
def test_a_page_token_that_somebody_made_up_is_refused(both_stores: Registry, content: bytes) -> None:
    """It is not taken for a registry that does not answer, though MLflow fails on it in the same way."""
    with pytest.raises(BadPageToken):
        both_stores.champions(limit=2, page_token=base64.b64encode(content).decode())
    with pytest.raises(BadPageToken):
        both_stores.champions(limit=2, page_token="ä")


def test_a_page_of_a_store_that_does_not_answer_is_nobody_s_fault() -> None:
    """Whatever the token."""
    with pytest.raises(RegistryUnavailable):
        Registry("postgresql://user:secret@127.0.0.1:1/none").champions(limit=2, page_token="ä")


def test_a_store_that_does_not_answer_is_called_so() -> None:
    """The message names the store, without its password."""
    registry = Registry("postgresql://user:secret@127.0.0.1:1/none")
    with pytest.raises(RegistryUnavailable, match=r"user@127.0.0.1:1") as caught:
        registry.champion("a")
    assert "secret" not in str(caught.value)


@pytest.fixture
def artifact(registry: Registry, log_version: Log) -> tuple[ModelVersion, Path]:
    """A version and the folder of its files, free to be spoilt."""
    version = log_version("a")
    location = registry.client.get_model_version_download_uri(version.name, "1")
    return version, Path(download_artifacts(location, tracking_uri=registry.uri))


def _edit(path: Path, change: Callable[[dict], None]) -> None:
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document))


def test_an_artifact_with_code_is_refused(registry: Registry, artifact: tuple[ModelVersion, Path]) -> None:
    """MLflow would put that code on sys.path."""
    version, folder = artifact
    _edit(folder / "MLmodel", lambda document: document["flavors"]["prophet"].update(code="code"))
    with pytest.raises(BadArtifact, match="brings code"):
        registry.load(version)


def test_an_artifact_of_another_flavor_is_refused(registry: Registry, artifact: tuple[ModelVersion, Path]) -> None:
    """A pyfunc alone would be a pickle or worse."""
    version, folder = artifact
    _edit(folder / "MLmodel", lambda document: document["flavors"].pop("prophet"))
    with pytest.raises(BadArtifact, match="no prophet flavor"):
        registry.load(version)


def test_an_artifact_cannot_point_out_of_its_folder(registry: Registry, artifact: tuple[ModelVersion, Path]) -> None:
    """The model's file is a name, never a path."""
    version, folder = artifact
    _edit(folder / "MLmodel", lambda document: document["flavors"]["prophet"].update(data="../../passwd"))
    with pytest.raises(BadArtifact, match="plain file name"):
        registry.load(version)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "not a Prophet"), ("{}", "never fitted"), ('"{}"', "never fitted"), ("\x00\xff", "model.pr")],
)
def test_a_spoilt_model_is_refused(
    registry: Registry, artifact: tuple[ModelVersion, Path], content: str, reason: str
) -> None:
    """Half a file, another document, or junk."""
    version, folder = artifact
    (folder / "model.pr").write_text(content, encoding="latin-1")
    with pytest.raises(BadArtifact, match=reason):
        registry.load(version)


def test_a_model_whose_numbers_are_not_finite_is_refused(
    registry: Registry, artifact: tuple[ModelVersion, Path]
) -> None:
    """It would forecast NaN for ever."""
    version, folder = artifact
    document = json.loads(json.loads((folder / "model.pr").read_text()))
    document["params"]["k"] = [[float("nan")]]
    (folder / "model.pr").write_text(json.dumps(json.dumps(document)))
    with pytest.raises(BadArtifact, match="not finite"):
        registry.load(version)


def test_missing_files_are_named(registry: Registry, artifact: tuple[ModelVersion, Path]) -> None:
    """The segment, the version and the file."""
    version, folder = artifact
    (folder / "model.pr").unlink()
    with pytest.raises(BadArtifact, match=r"segment 'a' version 1: model\.pr"):
        registry.load(version)


KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("user/42:groceries 100%")
@example("Käse & Brot 🧀")
@example('it\'s "quoted" -- ; drop')
@example("u" * 200)
@example("..")
@given(KEYS)
def test_every_key_goes_through_mlflow_and_comes_back(registry: Registry, key: str) -> None:
    """Names are written and read by the real store, found again, and listed."""
    name = model_name(key)
    if key not in {version.segment for version in registry.champions(1000)[0]}:
        registry.client.create_registered_model(name)
        registry.client.create_model_version(name, "file:///nowhere")
    registry.promote(key, 1)
    assert registry.champion(key).segment == key
    assert [version.segment for version in registry.versions(key)] == [key]
    assert key in {version.segment for version in registry.champions(1000)[0]}
