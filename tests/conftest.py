"""Real parts for the tests: PostgreSQL, an MLflow server on it, stores in SQLite, small Prophets."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet

from benchmarks import postgres
from benchmarks.servers import serving as running
from forecasting.history import check_history
from forecasting.prophet_model import fit
from forecasting.spec import ProphetSpec
from registry.log import JobLog
from registry.registry import Registry
from registry.versions import ModelVersion
from tests.lacking import lacking

os.environ["BENTOML_DO_NOT_TRACK"] = "true"
os.environ.pop("MLFLOW_TRACKING_URI", None)
os.environ.pop("COLUMNS", None)  # xdist sets it, and a console that finds it as it is made keeps to it
for name in [name for name in os.environ if name.startswith("FORECAST_")]:
    del os.environ[name]  # a developer's own keys, for one, would let no test in


@pytest.fixture(autouse=True)
def _no_store_stays_named() -> Iterator[None]:
    """What a test names to MLflow for the whole process, MLflow names to every child of later tests."""
    yield
    if (mlflow := sys.modules.get("mlflow")) is not None:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri("")
        os.environ.pop("MLFLOW_REGISTRY_URI", None)


@pytest.fixture(scope="session")
def postgres_admin() -> Iterator[str]:
    """The URL of a PostgreSQL server where databases may be created."""
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(postgres.server())
        except postgres.NoPostgres as error:
            lacking(str(error))
        yield url


@pytest.fixture
def postgres_url(postgres_admin: str) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh, empty database."""
    with postgres.database(postgres_admin) as url:
        yield url


@pytest.fixture(scope="session")
def empty_postgres_store(postgres_admin: str) -> Iterator[str]:
    """A database with MLflow's tables made, which takes it many seconds, for the tests to copy."""
    with postgres.database(postgres_admin) as url:
        # In a process of its own, whose connections end with it: one that is in use cannot be copied.
        make = (
            f"import sys; sys.path[:0] = {sys.path!r}; from registry.registry import Registry; Registry({url!r}).ping()"
        )
        subprocess.run([sys.executable, "-c", make], check=True)
        yield url


@pytest.fixture
def postgres_store(postgres_admin: str, empty_postgres_store: str) -> Iterator[str]:
    """The tracking URI of a new, empty store in PostgreSQL."""
    with postgres.database(postgres_admin, empty_postgres_store) as url:
        yield url


@pytest.fixture(scope="session")
def session_postgres_store(postgres_admin: str, empty_postgres_store: str) -> Iterator[str]:
    """As postgres_store, for one server that many tests share."""
    with postgres.database(postgres_admin, empty_postgres_store) as url:
        yield url


@pytest.fixture(scope="session")
def mlflow_server(session_postgres_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an `mlflow server` on PostgreSQL that hands artifacts through."""
    artifacts = tmp_path_factory.mktemp("mlflow-artifacts")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"]
    command += ["--backend-store-uri", session_postgres_store, "--artifacts-destination", artifacts.as_uri()]
    # Webhooks to this machine, and to those that a test registered just now.
    hooks = {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
    hooks |= {"MLFLOW_WEBHOOK_CACHE_TTL": "0"}
    with running(command, ready="/health", cwd=artifacts, env=hooks) as url:
        yield url


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store with its tables made, which takes MLflow seconds, for the tests to copy."""
    path = tmp_path_factory.mktemp("empty-store") / "mlflow.db"
    Registry(f"sqlite:///{path}").ping()
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> str:
    """The tracking URI of a new, empty SQLite store with its artifacts beside it."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def registry(store: str) -> Registry:
    """A registry in a store of its own."""
    return Registry(store)


@pytest.fixture(scope="session")
def daily() -> pd.DataFrame:
    """Four months of days with a trend, a week and noise."""
    day = np.arange(120)
    noise = np.random.default_rng(7).normal(0, 1, day.size)
    return pd.DataFrame(
        {
            "ds": pd.date_range("2024-01-01", periods=day.size),
            "y": 50 + 0.2 * day + 5 * np.sin(2 * np.pi * day / 7) + noise,
        }
    )


@pytest.fixture(scope="session")
def prophet(daily: pd.DataFrame) -> Prophet:
    """A real Prophet, fitted once a session to `daily`."""
    return fit(check_history(daily), ProphetSpec())


@pytest.fixture
def log_version(registry: Registry, prophet: Prophet) -> Callable[[str], ModelVersion]:
    """Logs and registers one more version of a segment as a training job does."""

    def log(segment: str) -> ModelVersion:
        with JobLog(registry, "test", {}) as job:
            return job.log_segment(
                segment, prophet, params={}, metrics={"backtest.mase": 0.5}, tags={"metric.mase": "0.5"}
            )

    return log
