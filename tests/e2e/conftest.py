"""The real service, under the real `bentoml serve`."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.servers import serving as running
from tests.waiting import until

SERVE = [sys.executable, "-m", "bentoml", "serve", "service:ForecastService", "--host", "127.0.0.1", "--port", "{port}"]

# What the log says when histories are taken: /readyz speaks of registered segments alone.
RUNNER_READY = "Service ProphetRunner initialized"

# What a data scientist's notebook does, with none of our code: argv is store, segment, slope.
NOTEBOOK = """
import sys, mlflow, numpy as np, pandas as pd
from prophet import Prophet
store, segment, slope = sys.argv[1], sys.argv[2], float(sys.argv[3])
mlflow.set_tracking_uri(store)
days = pd.date_range("2024-01-01", periods=90)
m = Prophet().fit(pd.DataFrame({"ds": days, "y": slope * np.arange(90) + np.sin(np.arange(90))}))
mlflow.set_experiment("notebook")
info = mlflow.prophet.log_model(m, name="model", registered_model_name="forecast." + segment)
mlflow.MlflowClient().set_registered_model_alias("forecast." + segment, "champion", info.registered_model_version)
for yhat in m.predict(m.make_future_dataframe(10, include_history=False))["yhat"]:
    print(repr(float(yhat)))
"""


@dataclass(frozen=True)
class Service:
    """A running service: its client, and what it has logged."""

    http: httpx.Client
    log: Path

    def forecast(self, **body: Any) -> httpx.Response:
        return self.http.post("/forecast", json=body)

    def until(self, true: Callable[[httpx.Response], bool], seconds: float = 5.0, **body: Any) -> httpx.Response:
        """Ask until the answer is as wished, or fail with the last one."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.forecast(**body)
            if true(answer):
                return answer
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds} s; the last answer was {answer.status_code} {answer.text}")
            time.sleep(0.1)


@contextlib.contextmanager
def serve(store: str, folder: Path, **environment: str) -> Iterator[Service]:
    log = folder / "serve.log"
    env = {
        "MLFLOW_TRACKING_URI": store,
        "FORECAST_SNAPSHOT_DIR": str(folder / "catalog"),
        "BENTOML_HOME": str(folder / "bentoml"),  # where it keeps metrics, which each start of a service empties
        **environment,
    }
    with (
        running(SERVE, ready="/readyz", env=env, log_to=log) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        until(lambda: RUNNER_READY in log.read_text(), "a runner")
        yield Service(client, log)


@pytest.fixture(scope="session")
def sqlite_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite store that the session's service and many tests share."""
    return f"sqlite:///{shutil.copy(empty_store, tmp_path_factory.mktemp('store'))}"


@pytest.fixture(scope="session")
def service(sqlite_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service on sqlite_store."""
    with serve(sqlite_store, tmp_path_factory.mktemp("service")) as running_service:
        yield running_service


def log_from_notebook(
    store: str, segment: str, slope: float, cwd: Path, python: str | Path = sys.executable
) -> list[float]:
    """Log, register and promote a model in a process of its own; gives Prophet's own ten next yhat.

    python: whose packages do that.
    """
    done = subprocess.run(
        [python, "-c", NOTEBOOK, store, segment, str(slope)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [float(line) for line in done.stdout.split()]


def prophetctl(store: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the CLI on a store."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *words, "--tracking-uri", store],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
