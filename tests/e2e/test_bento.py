"""The built Bento serves alone: from another folder, knowing only where the registry is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from benchmarks.servers import serving as running
from tests.e2e.conftest import log_from_notebook
from tests.e2e.host import kill, supervisor_of, workers_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a freshly built Bento."""
    home = tmp_path_factory.mktemp("bentoml")
    command = [sys.executable, "-m", "bentoml", "build", "--output", "tag"]
    built = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "BENTOML_HOME": str(home)}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    name, _, version = built.stdout.strip().rpartition("__tag__:")[2].partition(":")
    return home / "bentos" / name / version


def test_a_bento_serves_from_an_empty_folder(bento: Path, store: str, tmp_path: Path) -> None:
    """As in its image: no checkout and no installed rooms are in reach, and all it is told is MLFLOW_TRACKING_URI.

    A killed worker is replaced there too; who asks meanwhile waits for that.
    """
    (tmp_path / "empty").mkdir()
    yhat = log_from_notebook(store, "bento", 1.5, tmp_path)
    command = ["bash", str(bento / "env/docker/entrypoint.sh"), "serve", "--host", "127.0.0.1", "--port", "{port}"]
    # The rooms are installed here for development: a module path of theirs would hide that the Bento lacks a file.
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(
        f"import sys; sys.path[:] = [p for p in sys.path if {str(ROOT)!r} + '/src' != p]"
    )
    environment = {
        "MLFLOW_TRACKING_URI": store,
        "PYTHONPATH": str(blocked),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "BENTO_PATH": str(bento),
        "BENTOML_CONTAINERIZED": "true",
    }
    log = tmp_path / "serve.log"
    with running(command, ready="/readyz", env=environment, cwd=tmp_path / "empty", log_to=log) as url:
        assert _first_ten(url) == pytest.approx(yhat, rel=1e-9)
        (worker,) = workers_of(supervisor_of(url), "ForecastService")
        kill(worker)
        assert _first_ten(url) == pytest.approx(yhat, rel=1e-9), "after its only worker was killed"


def _first_ten(url: str) -> list[float]:
    answer = httpx.post(f"{url}/forecast", json={"model_id": "bento", "periods": 10}, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return [row["yhat"] for row in answer.json()["forecast"]]


def test_a_bento_carries_what_serving_needs_and_no_more(bento: Path) -> None:
    """No training code, no tests, no registry content, no secrets."""
    files = {str(path.relative_to(bento / "src")) for path in (bento / "src").rglob("*") if path.is_file()}
    assert "service.py" in files
    assert {path.split("/")[1] for path in files if path.startswith("src/")} == {"forecasting", "registry", "serving"}
