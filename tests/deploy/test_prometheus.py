"""A real Prometheus scrapes a real service with a key, and finds data for each query of docs/observability.md."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.servers import serving
from tests.deploy.tools import ROOT, dashboard_queries, tool
from tests.e2e.conftest import log_from_notebook, serve
from tests.points import points
from tests.waiting import until

pytestmark = pytest.mark.deploy

FOLDER = ROOT / "deploy" / "prometheus"
DAYS = points(30)


def test_each_query_for_a_dashboard_finds_data(tmp_path: Path) -> None:
    """After one request of each kind; the queries are the docs' own, the configuration but for addresses ours."""
    store = f"sqlite:///{tmp_path}/mlflow.db"
    log_from_notebook(store, "watched", 1.0, tmp_path)
    keys = tmp_path / "keys.json"
    metrics_key = _key(keys, "prometheus", "--metrics", "--no-inline")
    caller = {"X-API-Key": _key(keys, "caller", "--segments", "*")}
    with (
        serve(store, tmp_path, FORECAST_KEYS_FILE=str(keys)) as service,
        _prometheus(tmp_path, service.http.base_url.netloc.decode(), metrics_key) as prometheus,
    ):
        _scraped(prometheus)

        def ask() -> None:
            for body in ({"model_id": "watched"}, {"data": DAYS}, {"model_id": "unknown"}):
                assert service.http.post("/forecast", json=body, headers=caller).status_code in (200, 404)

        for query in dashboard_queries():

            def has_data(query: str = query) -> bool:
                ask()
                return any(not math.isnan(float(row["value"][1])) for row in _ask(prometheus, query))

            until(has_data, f"data for {query}")
        rules = prometheus.get("/api/v1/rules").json()["data"]["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} == {"ok"}, rules


def test_without_its_key_the_service_counts_as_down(tmp_path: Path) -> None:
    """A key that may not read metrics is no better than none."""
    keys = tmp_path / "keys.json"
    caller = _key(keys, "caller", "--segments", "*")
    with (
        serve(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, FORECAST_KEYS_FILE=str(keys)) as service,
        _prometheus(tmp_path, service.http.base_url.netloc.decode(), caller) as prometheus,
    ):
        until(lambda: bool(_ask(prometheus, 'up{job="forecast"} == 0')), "a scrape that was refused")
        until(lambda: bool(_ask(prometheus, 'ALERTS{alertname="ForecastDown"}')), "the alert")


def _key(file: Path, name: str, *words: str) -> str:
    command = [sys.executable, "-m", "cli", "keys", "create", name, *words, "--keys-file", str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def _prometheus(folder: Path, target: str, key: str) -> Iterator[httpx.Client]:
    """Prometheus by deploy/prometheus, but every second, for the length of a with block."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = dict.fromkeys(config["global"], "1s")
    config["rule_files"] = [str(FOLDER / name) for name in config["rule_files"]]
    (scrape,) = config["scrape_configs"]
    credentials = folder / "metrics_key"
    credentials.write_text(key)
    scrape["authorization"]["credentials_file"] = str(credentials)
    scrape["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        tool("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        serving(command, ready="/-/ready", log_to=folder / "prometheus.log") as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


def _scraped(prometheus: httpx.Client) -> None:
    until(lambda: bool(_ask(prometheus, 'up{job="forecast"} == 1')), "a scrape")


def _ask(prometheus: httpx.Client, query: str) -> list[dict[str, Any]]:
    answer = prometheus.get("/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", answer
    return list(answer["data"]["result"])
