"""A model that the previous pins logged still serves: what an upgrade of MLflow and Prophet must not break."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.tools import ROOT
from tests.e2e.conftest import log_from_notebook, prophetctl, serve
from tests.lacking import lacking

pytestmark = pytest.mark.deploy

PREVIOUS = ROOT / ".venv" / "previous" / "bin" / "python"  # requirements/previous.txt
PACKAGES = ("mlflow", "prophet")
VERSIONS = f"import importlib.metadata as m, json; print(json.dumps([m.version(name) for name in {PACKAGES}]))"


@pytest.fixture
def previous() -> Path:
    """A Python with the minor versions before ours."""
    if not PREVIOUS.exists():
        lacking("no packages of the previous pins here: make test-deploy")
    before = [(major, minor - 1) for major, minor in _versions()]
    assert _versions(PREVIOUS) == before, "the pins moved on; scripts/lock.sh has those before"
    return PREVIOUS


def test_a_store_of_the_previous_pins_is_upgraded_and_served(previous: Path, tmp_path: Path) -> None:
    """A notebook of before logs a model into a store of before; after MLflow's own migration it forecasts the same."""
    store = f"sqlite:///{tmp_path}/mlflow.db"
    yhat = log_from_notebook(store, "veteran", 2.0, tmp_path, python=previous)
    upgrade = [sys.executable, "-m", "mlflow", "db", "upgrade", store]
    done = subprocess.run(upgrade, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with serve(store, tmp_path) as service:
        answer = service.until(lambda answer: answer.status_code == 200, model_id="veteran", periods=10).json()
        assert [row["yhat"] for row in answer["forecast"]] == pytest.approx(yhat, rel=1e-9)
        assert service.http.get("/health").json()["problems"] == []
        # The next model comes from our own pins, and rolling back leads to the veteran again.
        newer = log_from_notebook(store, "veteran", 3.0, tmp_path)
        service.until(lambda answer: answer.json()["model"]["version"] == 2, model_id="veteran", periods=10)
        assert prophetctl(store, "rollback", "veteran").returncode == 0
        answer = service.until(lambda answer: answer.json()["model"]["version"] == 1, model_id="veteran", periods=10)
        assert [row["yhat"] for row in answer.json()["forecast"]] == pytest.approx(yhat, rel=1e-9)
        assert newer != pytest.approx(yhat, rel=1e-9)


def _versions(python: str | Path = sys.executable) -> list[tuple[int, int]]:
    """Major and minor version of each package."""
    done = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True)
    numbers = (version.split(".") for version in json.loads(done.stdout))
    return [(int(major), int(minor)) for major, minor, *_ in numbers]
