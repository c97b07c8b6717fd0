"""Real parts for the tests: PostgreSQL, an MLflow server on it, stores in SQLite, small Prophets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest
from prophet import Prophet

from benchmarks.servers import serving as running
from forecasting.history import check_history
from forecasting.prophet_model import fit
from forecasting.spec import ProphetSpec
from registry.log import JobLog
from registry.registry import Registry
from registry.versions import ModelVersion

# A PostgreSQL that lets us in: this one, or one started here from Debian's binaries.
POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")

os.environ["BENTOML_DO_NOT_TRACK"] = "true"
os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="session")
def postgres_admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server where databases may be created."""
    if _answers(POSTGRES):
        yield POSTGRES
        return
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        message = f"no PostgreSQL at {POSTGRES} and none installed to start: set TEST_POSTGRES_URL"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    yield from _own_postgres(binaries[-1].parent, tmp_path_factory.mktemp("postgres"))


@pytest.fixture
def postgres_url(postgres_admin: str) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh, empty database."""
    with _database(postgres_admin) as url:
        yield url


@pytest.fixture(scope="session")
def session_postgres_url(postgres_admin: str) -> Iterator[str]:
    """As postgres_url, for one server that many tests share."""
    with _database(postgres_admin) as url:
        yield url


@pytest.fixture(scope="session")
def mlflow_server(session_postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an `mlflow server` on PostgreSQL that hands artifacts through."""
    artifacts = tmp_path_factory.mktemp("mlflow-artifacts")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"]
    command += ["--backend-store-uri", session_postgres_url, "--artifacts-destination", artifacts.as_uri()]
    with running(command, ready="/health", cwd=artifacts) as url:
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


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


class _database:
    """A database for the length of a with block."""

    def __init__(self, admin: str) -> None:
        self._admin = admin
        self._name = f"test_{uuid.uuid4().hex[:12]}"

    def __enter__(self) -> str:
        self._tell(f"CREATE DATABASE {self._name}")
        return self._admin.replace("postgresql://", "postgresql+psycopg://").rpartition("/")[0] + f"/{self._name}"

    def __exit__(self, *_: object) -> None:
        self._tell(f"DROP DATABASE {self._name} WITH (FORCE)")

    def _tell(self, statement: str) -> None:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(statement.encode())


def _own_postgres(binaries: Path, folder: Path) -> Iterator[str]:
    """Start a PostgreSQL in a folder of its own, on a socket; as another user where we are root."""
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder.chmod(0o777)
    data, port = folder / "data", "54329"

    def run(*words: str) -> None:
        subprocess.run([*user, *words], check=True, capture_output=True, cwd="/")

    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    run(str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth", "trust")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
    run(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        run(str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(data, ignore_errors=True)
