"""Do what an image is for, once while it is built: `warm.py serving` or `warm.py trainer`.

Python then keeps what it has compiled of the packages, which is a third of what compiling all of them would take. And
an image that cannot do its work is never built.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PATIENCE = 60.0  # seconds; nothing is compiled yet
# Ways to a registry, and to the forecast log, that an embedded store does not take.
OTHER_WAYS = (
    "mlflow.store.artifact.mlflow_artifacts_repo",
    "mlflow.store.model_registry.rest_store",
    "mlflow.store.tracking.rest_store",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
)
days = np.arange(120)
history = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=120).astype(str), "y": days % 7 + days**0.5})


def serving(folder: Path) -> None:
    """A registered forecast, a batch as Arrow, a history, a fit by Stan and the forecast log."""
    from prophet import Prophet

    from registry.log import JobLog
    from registry.registry import Registry

    store = f"sqlite:///{folder}/mlflow.db"
    registry = Registry(store)
    with JobLog(registry, "warm", {}) as job:
        version = job.log_segment("warm", Prophet().fit(history), params={}, metrics={}, tags={})
    registry.promote("warm", version.version)
    environment = {"MLFLOW_TRACKING_URI": store, "FORECAST_LOG_URL": f"sqlite:///{folder}/log.db"}
    with _served(environment | {"BENTOML_HOME": str(folder), "FORECAST_RUNNER_WORKERS": "1"}) as url:
        one = {"model_id": "warm", "periods": 3}
        _ask(f"{url}/forecast", one)
        _ask(f"{url}/forecast/batch", {"requests": [one]}, accept="application/vnd.apache.arrow.stream")
        _ask(f"{url}/forecast", {"model_id": "inline", "periods": 3, "data": history.to_dict("records")})
        _ask(f"{url}/health")
        _ask(f"{url}/metrics")


def trainer(folder: Path) -> None:
    """A whole job."""
    history.assign(segment="warm").to_csv(folder / "history.csv", index=False)
    words = ["train", "--path", folder / "history.csv", "--workers", "1", "--tracking-uri", f"sqlite:///{folder}/m.db"]
    subprocess.run([sys.executable, "-m", "cli", *words], check=True)


@contextlib.contextmanager
def _served(environment: dict[str, str]) -> Iterator[str]:
    with socket.socket() as probe:  # a build may share its network with others
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command, url = ["bentoml", "serve", "service:ForecastService", "--port", port], f"http://127.0.0.1:{port}"
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError):
                _ask(f"{url}/readyz")
                break
            time.sleep(0.2)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _ask(url: str, body: Any = None, accept: str = "*/*") -> None:
    """Raises OSError for what is not answered, or not with 200."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Accept": accept, "Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=PATIENCE).read()


if __name__ == "__main__":
    for module in OTHER_WAYS:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as scratch:
        {"serving": serving, "trainer": trainer}[sys.argv[1]](Path(scratch))
