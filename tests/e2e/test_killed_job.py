"""A training job that is killed at any moment leaves only champions that load."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.future import make_future
from forecasting.predict import predict
from forecasting.state import ForecastModel
from registry.registry import Registry

SEGMENTS = [f"shop {number}" for number in range(12)]


def _history(path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=40)
    y = np.arange(40) % 7 + np.random.default_rng(1).normal(0, 0.3, 40)
    pd.concat(pd.DataFrame({"segment": segment, "ds": days, "y": y}) for segment in SEGMENTS).to_csv(path, index=False)


def _train(path: Path, store: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cli", "train", "--path", str(path), "--cutoffs", "0", "--tracking-uri", store]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=path.parent, start_new_session=True
    )


def _loaded_champions(store: str) -> dict[str, int]:
    """Load every champion that the store names; a broken one raises."""
    registry = Registry(store)
    champions, token = registry.champions(100)
    assert token is None
    for champion in champions:
        model = registry.load(champion)
        assert isinstance(model, ForecastModel)
        assert np.isfinite(predict(model, make_future(model, 30)).yhat).all()
    return {champion.segment: champion.version for champion in champions}


def _kill_at_random(store: str, folder: Path, times: int) -> None:
    path = folder / "history.csv"
    _history(path)
    started = time.monotonic()
    assert _train(path, store).wait() == 0
    whole = time.monotonic() - started
    champions = _loaded_champions(store)
    assert set(champions) == set(SEGMENTS)

    generator = random.Random(20)
    killed_early = 0
    for _ in range(times):
        job = _train(path, store)
        # The first third is imports and reading; the moments that matter come after it.
        time.sleep(generator.uniform(0.3, 1.0) * whole)
        killed_early += job.poll() is None
        os.killpg(job.pid, signal.SIGKILL) if job.poll() is None else None
        job.wait()
        after = _loaded_champions(store)
        assert set(after) == set(SEGMENTS)
        assert all(after[segment] >= champions[segment] for segment in SEGMENTS)
        champions = after
    assert killed_early > 0


def test_a_job_killed_at_random_moments_leaves_only_sound_champions(store: str, tmp_path: Path) -> None:
    """Files first, version second, alias last."""
    _kill_at_random(store, tmp_path, times=3)


@pytest.mark.slow
def test_twenty_killed_jobs_leave_only_sound_champions(store: str, tmp_path: Path) -> None:
    """The same, twenty times."""
    _kill_at_random(store, tmp_path, times=20)
