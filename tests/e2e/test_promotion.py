"""A promotion or rollback is live within five seconds, whoever made it and wherever the registry is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Service, log_from_notebook, prophetctl, serve


def _serves_what_a_notebook_promotes(service: Service, store: str, cwd: Path) -> None:
    segment = "notebook"
    first = log_from_notebook(store, segment, 1.0, cwd)
    answer = service.until(lambda response: response.status_code == 200, model_id=segment, periods=10)
    assert [row["yhat"] for row in answer.json()["forecast"]] == pytest.approx(first, rel=1e-9)

    second = log_from_notebook(store, segment, -3.0, cwd)
    answer = service.until(lambda response: response.json()["model"]["version"] == 2, model_id=segment, periods=10)
    assert [row["yhat"] for row in answer.json()["forecast"]] == pytest.approx(second, rel=1e-9)

    done = prophetctl(store, "rollback", segment)
    assert done.returncode == 0, done.stderr
    answer = service.until(lambda response: response.json()["model"]["version"] == 1, model_id=segment, periods=10)
    assert [row["yhat"] for row in answer.json()["forecast"]] == pytest.approx(first, rel=1e-9)


def test_a_notebook_promotes_and_the_cli_rolls_back_on_sqlite(
    service: Service, sqlite_store: str, tmp_path: Path
) -> None:
    """Five lines of plain MLflow in another process are enough to be live; one command takes it back."""
    _serves_what_a_notebook_promotes(service, sqlite_store, tmp_path)


def test_a_notebook_promotes_and_the_cli_rolls_back_on_a_server_with_postgresql(
    mlflow_server: str, tmp_path: Path
) -> None:
    """The same through `mlflow server` on PostgreSQL, artifacts handed through by the server."""
    with serve(mlflow_server, tmp_path) as service:
        _serves_what_a_notebook_promotes(service, mlflow_server, tmp_path)
