"""What a runner answers while champions move, break and vanish, against real MLflow stores."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.artifacts import download_artifacts
from prophet import Prophet

from benchmarks.servers import serving as running
from registry.errors import RegistryError
from registry.log import JobLog
from registry.names import model_name
from registry.registry import Registry
from registry.versions import ModelVersion
from serving.forecaster import Forecaster
from serving.outcomes import Answer, Outcome, Refusal
from serving.schemas import ForecastRequest
from serving.settings import Settings
from tests.integration.outcomes import as_forecast

Log = Callable[[str], ModelVersion]

# Every question asks the registry anew.
IMPATIENT = Settings(champion_ttl_seconds=0)


def _ask(forecaster: Forecaster, segment: str, **options: object) -> Outcome:
    [outcome] = forecaster.answer([ForecastRequest(model_id=segment, periods=3, **options)])
    return outcome


def _version(outcome: Outcome) -> int | None:
    assert isinstance(outcome, Answer), outcome
    return as_forecast(outcome).model.version


def _code(outcome: Outcome) -> str:
    assert isinstance(outcome, Refusal), outcome
    return outcome.code


def _model_file(registry: Registry, version: ModelVersion) -> Path:
    location = registry.client.get_model_version_download_uri(version.name, str(version.version))
    return Path(download_artifacts(location, tracking_uri=registry.uri)) / "model.pr"


def test_a_champion_that_cannot_be_read_leaves_the_last_good_one_serving(
    registry: Registry, log_version: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """The bad version is refused and reported; mended by a rollback or a third version."""
    forecaster = Forecaster(registry, IMPATIENT)
    registry.promote("a", log_version("a").version)
    assert _version(_ask(forecaster, "a")) == 1
    spoilt = log_version("a")
    _model_file(registry, spoilt).write_text("half a mod")
    registry.promote("a", spoilt.version)
    with caplog.at_level(logging.ERROR):
        assert _version(_ask(forecaster, "a")) == 1
    assert "version 2" in caplog.text
    registry.promote("a", log_version("a").version)
    assert _version(_ask(forecaster, "a")) == 3


def test_a_first_champion_that_cannot_be_read_is_refused_without_saying_where_it_lies(
    registry: Registry, log_version: Log
) -> None:
    """Callers learn that it is not their fault, and no path of ours."""
    version = log_version("a")
    _model_file(registry, version).unlink()
    registry.promote("a", version.version)
    outcome = _ask(Forecaster(registry, IMPATIENT), "a")
    assert _code(outcome) == "model_unavailable"
    assert "/" not in outcome.detail


def test_a_champion_whose_alias_is_taken_away_is_served_no_more(registry: Registry, log_version: Log) -> None:
    """That is a decision, not a fault: nothing lingers."""
    forecaster = Forecaster(registry, IMPATIENT)
    registry.promote("a", log_version("a").version)
    assert _version(_ask(forecaster, "a")) == 1
    registry.client.delete_registered_model_alias(model_name("a"), "champion")
    assert _code(_ask(forecaster, "a")) == "no_champion"
    registry.client.delete_registered_model(model_name("a"))
    assert _code(_ask(forecaster, "a")) == "unknown_segment"


def test_an_older_version_can_be_asked_for_by_its_number(registry: Registry, log_version: Log) -> None:
    """Champion or not."""
    forecaster = Forecaster(registry, IMPATIENT)
    log_version("a")
    registry.promote("a", log_version("a").version)
    assert _version(_ask(forecaster, "a", version=1)) == 1
    assert _code(_ask(forecaster, "a", version=3)) == "unknown_version"


def test_more_segments_than_fit_the_cache_are_all_served(registry: Registry, log_version: Log) -> None:
    """The least recently used is loaded again when it is asked for."""
    forecaster = Forecaster(registry, Settings(prophets_cached=1))
    for segment in ("a", "b"):
        registry.promote(segment, log_version(segment).version)
    for segment in ("a", "b", "a", "b"):
        assert isinstance(_ask(forecaster, segment), Answer)


def test_one_failing_item_leaves_its_neighbours_alone(registry: Registry, log_version: Log) -> None:
    """Outcomes stand in the order asked."""
    registry.promote("a", log_version("a").version)
    asked = [ForecastRequest(model_id=key, periods=1) for key in ("a", "nobody", "a")]
    kinds = [type(outcome) for outcome in Forecaster(registry, IMPATIENT).answer(asked)]
    assert kinds == [Answer, Refusal, Answer]


def test_loaded_models_go_on_while_the_registry_is_away(
    tmp_path: Path, prophet: Prophet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tracking server that stops costs no forecast of a loaded model; of others it is said why."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--artifacts-destination", tmp_path.as_uri()]
    with running(command, ready="/health", cwd=tmp_path) as url:
        registry = Registry(url)
        with JobLog(registry, "test", {}) as job:
            version = job.log_segment("a", prophet, params={}, metrics={}, tags={})
        registry.promote("a", version.version)
        forecaster = Forecaster(registry, IMPATIENT)
        before = _ask(forecaster, "a")
    for name, value in {"MAX_RETRIES": "0", "TIMEOUT": "3"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    after = _ask(forecaster, "a")
    assert isinstance(before, Answer)
    assert isinstance(after, Answer)
    assert after.yhat == before.yhat
    assert _code(_ask(forecaster, "b")) == "registry_unavailable"


def test_an_unknown_segment_leaves_no_cycle_of_errors_behind(registry: Registry) -> None:
    """Serving collects garbage rarely: errors that only a full collection frees cost a service under load 3 KB each."""
    forecaster = Forecaster(registry, Settings())
    _ask(forecaster, "warm-up")
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)  # what a collection finds stays in gc.garbage
    try:
        for number in range(5):
            assert _code(_ask(forecaster, f"nobody-{number}")) == "unknown_segment"
            assert _code(_ask(forecaster, f"nobody-{number}")) == "unknown_segment"
        del forecaster
        gc.collect()
        assert not [found for found in gc.garbage if isinstance(found, RegistryError)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
