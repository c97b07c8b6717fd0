"""A training job that is killed at any moment leaves only champions that load, and --resume finishes it."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from forecasting.future import make_future
from forecasting.predict import predict
from forecasting.state import ForecastModel
from registry.registry import Registry

SEGMENTS = [f"shop {number}" for number in range(12)]
PATIENCE = 120


@pytest.fixture(params=["sqlite", "postgresql"])
def either_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store, once in SQLite, once in PostgreSQL; its files beside the test's own."""
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", (tmp_path / "files").as_uri())
    return str(request.getfixturevalue("store" if request.param == "sqlite" else "postgres_store"))


def _history(path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=40)
    y = np.arange(40) % 7 + np.random.default_rng(1).normal(0, 0.3, 40)
    pd.concat(pd.DataFrame({"segment": segment, "ds": days, "y": y}) for segment in SEGMENTS).to_csv(path, index=False)


class Job:
    """A running `prophetctl train`."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def begun(self) -> str:
        """Wait until it says which job it is."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            told = re.search(r"^job (\w{32})$", self._log.read_text(), re.MULTILINE)
            if told:
                return told[1]
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.02)
        pytest.fail(f"it did not begin: {self._log.read_text()}")

    def kill(self) -> None:
        """Kill it with all its processes, if it is not over."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def ended(self) -> None:
        """Let it come to its end, which must be a good one."""
        assert self._process.wait(PATIENCE) == 0, self._log.read_text()


@contextmanager
def _train(path: Path, store: str, *more: str) -> Iterator[Job]:
    """A job in a process group of its own, which is gone at the end of the block."""
    command = [sys.executable, "-m", "cli", "train", "--path", str(path), "--cutoffs", "0", "--workers", "1"]
    log = path.with_suffix(".log")
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*command, "--tracking-uri", store, *more],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
            cwd=path.parent,
            start_new_session=True,
        )
    job = Job(process, log)
    try:
        yield job
    finally:
        job.kill()


def _loaded_champions(registry: Registry) -> dict[str, int]:
    """Load every champion; a broken one raises."""
    champions, token = registry.champions(100)
    assert token is None
    for champion in champions:
        model = registry.load(champion)
        assert isinstance(model, ForecastModel)
        assert np.isfinite(predict(model, make_future(model, 30)).yhat).all()
    return {champion.segment: champion.version for champion in champions}


def _orphaned_aliases(registry: Registry) -> list[tuple[str, ...]]:
    """Aliases that name no version, or a deleted one."""
    query = sa.text(
        "SELECT a.name, a.alias FROM registered_model_aliases a LEFT JOIN model_versions v ON v.name = a.name"
        " AND v.version = a.version WHERE v.name IS NULL OR v.current_stage = 'Deleted_Internal'"
    )
    with sa.create_engine(registry.uri, poolclass=sa.NullPool).connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def _jobs_by_version(registry: Registry, segment: str) -> list[str]:
    return [version.tags["forecast.job"] for version in registry.versions(segment)[::-1]]


def _kill_and_resume(store: str, folder: Path, times: int) -> None:
    """Kill job after job at a random moment after it has begun, and resume each; one at least is cut short."""
    path, registry, generator = folder / "history.csv", Registry(store), random.Random(20)
    _history(path)
    with _train(path, store) as whole:
        jobs = [whole.begun()]
        started = time.monotonic()
        whole.ended()
    seconds, number, early = time.monotonic() - started, 1, 0
    while number <= times or not early:
        number += 1
        with _train(path, store) as job:
            jobs.append(job.begun())
            time.sleep(generator.uniform(0, 1) * seconds)
            job.kill()
        served = _loaded_champions(registry)
        assert served.keys() == set(SEGMENTS)
        assert set(served.values()) <= {number - 1, number}
        assert _orphaned_aliases(registry) == []
        if registry.client.get_run(jobs[-1]).info.status == "RUNNING":  # else the kill only hit its way out
            early += 1
            with _train(path, store, "--resume", jobs[-1]) as resumed:
                resumed.ended()
        assert _loaded_champions(registry) == dict.fromkeys(SEGMENTS, number)
        assert [_jobs_by_version(registry, segment) for segment in SEGMENTS] == [jobs] * len(SEGMENTS)
        assert all(registry.aliases(s) == {"champion": number, "challenger": number} for s in SEGMENTS)
        assert all([move.version for move in registry.history(s)] == [*range(number, 0, -1)] for s in SEGMENTS)
        assert _orphaned_aliases(registry) == []


def test_a_job_killed_at_random_moments_is_finished_by_resume(either_store: str, tmp_path: Path) -> None:
    """Exactly one new version a segment, whenever the kill fell; no orphan alias; every champion loads."""
    _kill_and_resume(either_store, tmp_path, times=3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_killed_jobs_are_finished_by_resume(either_store: str, tmp_path: Path) -> None:
    """The same, twenty times."""
    _kill_and_resume(either_store, tmp_path, times=20)
