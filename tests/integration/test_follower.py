"""A worker serves from its host's catalog; which process keeps that true to the registry does not matter."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet

from registry.log import JobLog
from registry.registry import Registry
from serving.access import EVERYBODY
from serving.backend import WorkerBackend
from serving.board import Board
from serving.fits import Fitted
from serving.follower import Follower
from serving.histories import InlineHistory
from serving.model import served_model
from serving.outcomes import Answer, Outcome, Refused
from serving.schemas import ForecastRequest, ServedModel
from serving.settings import Settings
from tests import waiting

PATIENCE = 120.0  # seconds, on a machine that has other things to do

until = partial(waiting.until, seconds=PATIENCE)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(snapshot_dir=str(tmp_path / "host"), poll_seconds=0.05, champion_ttl_seconds=0)


@pytest.fixture
def follower(registry: Registry, settings: Settings) -> Iterator[Follower]:
    """Not started yet."""
    follower = Follower(registry, settings)
    yield follower
    follower.close()


class Backend:
    """A worker's backend, whose runner only notes what it is asked."""

    def __init__(self, registry: Registry, settings: Settings, follower: Follower) -> None:
        self.asked: list[ForecastRequest] = []
        self.worker = WorkerBackend(self, registry, settings, follower=follower)

    async def fit(self, _: Sequence[InlineHistory]) -> Sequence[Fitted]:
        raise AssertionError("nobody brings a history here")

    async def answer(self, requests: Sequence[ForecastRequest]) -> Sequence[Outcome]:
        self.asked += requests
        raise Refused("overloaded", "no runner here")

    def ask(self, **asked: object) -> Outcome:
        request = ForecastRequest.model_validate(asked)

        async def ask() -> Outcome:
            return await self.worker.forecast(request)

        return asyncio.run(ask())


def _promote(registry: Registry, segment: str, model: Prophet) -> int:
    with JobLog(registry, "test", {}) as job:
        version = job.log_segment(segment, model, params={}, metrics={}, tags={}).version
    registry.promote(segment, version)
    return version


def _serves(follower: Follower, **versions: int) -> Callable[[], bool]:
    def serves() -> bool:
        snapshot = None if follower.champions is None else follower.champions.snapshot
        return snapshot is not None and {key: snapshot.version(key) for key in versions} == versions

    return serves


def test_a_champion_is_forecast_from_the_catalog_whatever_is_asked_of_it(
    registry: Registry, settings: Settings, follower: Follower, prophet: Prophet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches or alone, as Prophet does, and the registry is not asked."""
    _promote(registry, "a", prophet)
    follower.start()
    until(_serves(follower, a=1))
    backend = Backend(registry, settings, follower)
    monkeypatch.setattr(registry, "champion", None)
    monkeypatch.setattr(registry, "version", None)
    expected = prophet.predict(prophet.make_future_dataframe(3, include_history=False))
    for extra in ({}, {"components": True}, {"version": 1}, {"start": f"{expected['ds'][0]:%Y-%m-%d}"}):
        answer = backend.ask(model_id="a", periods=3, **extra)
        assert isinstance(answer, Answer), answer
        np.testing.assert_allclose(answer.yhat, expected["yhat"], rtol=1e-9)
        assert b'"version":1' in answer.model
    assert backend.asked == []


def test_what_the_catalog_has_not_reached_yet_is_served_all_the_same(
    registry: Registry, settings: Settings, follower: Follower, prophet: Prophet
) -> None:
    """A segment promoted this very moment is looked up."""
    follower.start()
    until(lambda: follower.champions is not None)
    follower.close()
    _promote(registry, "new", prophet)
    assert isinstance(Backend(registry, settings, follower).ask(model_id="new"), Answer)


def test_a_runner_is_told_the_version_that_the_catalog_serves(
    registry: Registry, settings: Settings, follower: Follower, prophet: Prophet, daily: pd.DataFrame
) -> None:
    """For rows of the history, and for models that only Prophet can predict."""
    odd = Prophet()
    odd.add_regressor("rain", regressor_predictor=True)
    odd.fit(daily.assign(rain=np.sin(daily.index)))
    _promote(registry, "plain", prophet)
    _promote(registry, "odd", odd)
    follower.start()
    until(_serves(follower, plain=1, odd=1))
    backend = Backend(registry, settings, follower)
    backend.ask(model_id="plain", include_history=True)
    backend.ask(model_id="odd", regressors={"rain": [0.0] * 30})
    assert [(request.model_id, request.version) for request in backend.asked] == [("plain", 1), ("odd", 1)]


def test_readiness_and_health_follow_the_catalog(
    registry: Registry, settings: Settings, follower: Follower, prophet: Prophet
) -> None:
    """Ready once it is there; degraded where a champion cannot be used, without naming it."""
    backend = Backend(registry, settings, follower)
    assert not asyncio.run(backend.worker.is_ready())
    number = _promote(registry, "secret", prophet)
    follower.start()
    until(_serves(follower, secret=1))
    assert asyncio.run(backend.worker.is_ready())
    health = asyncio.run(backend.worker.health())
    assert (health.status, health.problems) == ("healthy", [])
    assert health.catalog is not None
    assert (health.catalog.segments, health.catalog.rejected, health.catalog.waiting) == (1, 0, 0)
    assert health.catalog.age_seconds is not None

    with JobLog(registry, "test", {}) as job:
        bad = job.log_segment("secret", prophet, params={}, metrics={}, tags={})
    (Path(registry.location(bad).removeprefix("file://")) / "model.pr").unlink()
    registry.promote("secret", bad.version)
    until(lambda: follower.champions is not None and bool(follower.champions.snapshot.contents.rejected))
    health = asyncio.run(backend.worker.health())
    assert health.status == "degraded"
    assert "secret" not in health.model_dump_json()
    shown = json.loads(asyncio.run(backend.worker.model("secret", EVERYBODY)))
    assert (shown["version"], shown["rejected"]["version"]) == (number, bad.version)
    assert "model.pr" in shown["rejected"]["reason"]
    answer = backend.ask(model_id="secret")
    assert isinstance(answer, Answer)
    assert f'"version":{number}'.encode() in answer.model


def test_a_cold_start_needs_no_registry(
    registry: Registry, settings: Settings, follower: Follower, prophet: Prophet
) -> None:
    """Only the snapshot of an earlier one; whoever asks about the service's health is told."""
    _promote(registry, "a", prophet)
    follower.start()
    until(_serves(follower, a=1))
    follower.close()
    shown = served_model(registry.champion("a"))
    database = Path(registry.uri.removeprefix("sqlite:///"))
    database.unlink()
    database.mkdir()  # where there is no file, SQLite makes one
    away = Registry(registry.uri)  # the one before has a connection that outlives its file
    later = Follower(away, settings)
    backend = Backend(away, settings, later)
    later.start()
    assert asyncio.run(backend.worker.is_ready())
    assert isinstance(backend.ask(model_id="a"), Answer)
    until(lambda: later.notice.fault is not None)
    page = asyncio.run(backend.worker.models(10, None, EVERYBODY, rejected=False))
    assert page.models == [asyncio.run(backend.worker.model("a", EVERYBODY))]
    assert ServedModel.model_validate_json(page.models[0]) == shown
    health = asyncio.run(backend.worker.health())
    assert (health.status, health.registry) == ("degraded", "unreachable")
    assert health.catalog is not None
    assert health.catalog.segments == 1
    later.close()


def test_a_host_without_a_folder_for_it_serves_from_the_registry(
    registry: Registry, tmp_path: Path, prophet: Prophet
) -> None:
    """And says so."""
    (tmp_path / "file").touch()
    settings = Settings(snapshot_dir=str(tmp_path / "file" / "folder"))
    follower = Follower(registry, settings)
    backend = Backend(registry, settings, follower)
    follower.start()
    _promote(registry, "a", prophet)
    assert asyncio.run(backend.worker.is_ready())
    assert isinstance(backend.ask(model_id="a"), Answer)
    health = asyncio.run(backend.worker.health())
    assert health.status == "degraded"
    assert "folder cannot be used" in health.problems[0]
    follower.close()


WORKER = """
import sys, time
from registry.registry import Registry
from serving.follower import Follower
from serving.settings import Settings
follower = Follower(Registry(sys.argv[1]), Settings(snapshot_dir=sys.argv[2], poll_seconds=0.05))
follower.start()
while not follower._board.is_mine:
    time.sleep(0.02)
print("mine", flush=True)
time.sleep(600)
"""


def test_the_syncer_is_killed_and_another_process_takes_over(
    registry: Registry, settings: Settings, follower: Follower, prophet: Prophet
) -> None:
    """At once, and nothing that was promoted meanwhile is missed."""
    _promote(registry, "a", prophet)
    command = [sys.executable, "-c", WORKER, registry.uri, settings.snapshot_dir]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as syncer:
        try:
            assert syncer.stdout is not None
            assert syncer.stdout.readline() == "mine\n"
            follower.start()
            until(_serves(follower, a=1))
            [lock] = Path(settings.snapshot_dir).glob("*.lock")
            board = Board(lock)
            assert not board.acquire()
            syncer.send_signal(signal.SIGKILL)
            _promote(registry, "a", prophet)
            until(_serves(follower, a=2))
            assert not board.acquire()
            board.close()
        finally:
            syncer.kill()


def test_many_champions_are_checked_in_other_processes(
    registry: Registry, follower: Follower, prophet: Prophet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same result."""
    monkeypatch.setattr("serving.check_pool._FEW", 1)
    for segment in ("a", "b", "c"):
        _promote(registry, segment, prophet)
    follower.start()
    until(_serves(follower, a=1, b=1, c=1))
