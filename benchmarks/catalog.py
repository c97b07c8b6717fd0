"""What a catalog of many champions costs: to start, to keep true to the registry, and in memory.

`python -m benchmarks.catalog [--quick] [--champions N] [--postgres URL]`: in SQLite, or in a fresh PostgreSQL database
whose URL is given. The bars are those of docs/catalog.md.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.catalog_store import add_version, fill, segment
from benchmarks.frame import Row, compare, options, report
from benchmarks.load import PLACE, Request, measure
from benchmarks.servers import serving
from registry.registry import Registry
from registry.watch import open_watch

CHAMPIONS, QUICK_CHAMPIONS = 100_000, 1_000
PROMOTIONS, QUICK_PROMOTIONS = 20, 3
FEW = 10  # champions of the registry beside which a forecast is timed
CONNECTIONS = (1, 32)
TIMED_SECONDS = 5.0
LOOKS = 20
ASKED = 20_000  # forecasts that every start is asked for before its memory is measured
SERVE = [sys.executable, "-m", "bentoml", "serve", "service:ForecastService", "--host", "127.0.0.1", "--port", "{port}"]
_READY_SECONDS, _LIVE_SECONDS, _WORKER_MB, _AS_WITH_FEW = 10.0, 5.0, 150.0, 1 / 1.2  # the bars
_MB = 2**20

Latencies = dict[int, float]


def main(arguments: list[str] | None = None) -> int:
    """Fill a registry, and measure."""
    given = options("A catalog of many champions.", arguments, champions=int, postgres=str)
    count = given.champions or (QUICK_CHAMPIONS if given.quick else CHAMPIONS)
    promotions = QUICK_PROMOTIONS if given.quick else PROMOTIONS
    with tempfile.TemporaryDirectory(prefix="prophet-serving-") as scratch:
        folder = Path(scratch)
        few = _p50_with_few(folder / "few")
        registry = Registry(given.postgres or f"sqlite:///{folder}/mlflow.db")
        registry.ping()
        took = _seconds(lambda: fill(registry, count, folder / "files"))
        print(f"{count} champions registered in {took:.0f} s")
        rows = _measure(registry, folder, promotions, few)
    return report("catalog-postgresql" if given.postgres else "catalog", rows, given)


def _measure(registry: Registry, folder: Path, promotions: int, few: Latencies) -> list[Row]:
    rows = [_held("a look at nothing new", "ms", 1000 * _look(registry), 100.0)]
    cold = _start(registry, folder)
    rows.append(_held("cold start to ready", "s", cold.ready, 3600.0))
    warm = _start(registry, folder, promotions=promotions, timed=True)
    rows.append(_held("start with a snapshot to ready", "s", warm.ready, _READY_SECONDS))
    rows += [_held(f"promotion to live, {name}", "s", value, _LIVE_SECONDS) for name, value in warm.live.items()]
    rows += [
        compare(
            f"p50, {connections} connection{'s' if connections > 1 else ''}",
            "ms",
            ours=p50,
            peer=f"{FEW} champions",
            theirs=few[connections],
            better="less",
            bar=_AS_WITH_FEW,
        )
        for connections, p50 in warm.p50.items()
    ]
    rows.append(_held("memory of one worker", "MB", warm.memory, 2000.0))
    three, four = (_start(registry, folder, workers=workers).memory for workers in (3, 4))
    rows.append(_held("memory that a fourth worker adds", "MB", four - three, _WORKER_MB))
    [snapshot] = (folder / "snapshots").glob("*.snapshot")
    rows.append(_held("the snapshot", "MB", snapshot.stat().st_size / _MB, 0.005 * cold.champions))
    return rows


def _p50_with_few(folder: Path) -> Latencies:
    folder.mkdir()
    registry = Registry(f"sqlite:///{folder}/mlflow.db")
    registry.ping()
    fill(registry, FEW, folder / "files")
    return _start(registry, folder, timed=True).p50


def _held(name: str, unit: str, value: float, most: float) -> Row:
    return compare(name, unit, ours=max(value, 0.0), peer="at most", theirs=most, better="less", bar=1.0)


@dataclass(frozen=True)
class _Start:
    """What one start of the service came to. ready: seconds until then; live: of promotions, in seconds; p50: in
    milliseconds, by number of connections; memory: of all its processes, in MB, pages that they share counted once.
    """

    champions: int
    ready: float
    live: dict[str, float]
    p50: Latencies
    memory: float


def _start(registry: Registry, folder: Path, *, workers: int = 1, promotions: int = 0, timed: bool = False) -> _Start:
    """Start the service on what earlier starts left in the folder, measure it, and stop it."""
    environment = {
        "MLFLOW_TRACKING_URI": registry.uri,
        "FORECAST_SNAPSHOT_DIR": str(folder / "snapshots"),
        "FORECAST_RUNNER_WORKERS": "1",
        "BENTOML_CONFIG_OPTIONS": f"services.ForecastService.workers={workers}",
    }
    began = time.monotonic()
    with serving(SERVE, ready="/readyz", env=environment, patience=3600.0, log_to=folder / "log") as url:
        ready = time.monotonic() - began
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            count = client.get("/health").json()["catalog"]["segments"]
            live = _live(registry, client, folder, promotions) if promotions else {}
            for start in range(0, ASKED, 500):
                keys = [segment((start + number) * 7919 % count) for number in range(500)]
                body = {"requests": [{"model_id": key, "periods": 30} for key in keys]}
                client.post("/forecast/batch", json=body).raise_for_status()
        p50 = _p50(url, count) if timed else {}
        return _Start(count, ready, live, p50, _memory_at_rest() / _MB)


def _p50(url: str, count: int) -> Latencies:
    """Of forecasts of one segment after the other."""
    request = Request(f"{url}/forecast", json.dumps({"model_id": segment(PLACE), "periods": 30}), among=count)
    return {connections: measure(request, connections, TIMED_SECONDS).p50_ms for connections in CONNECTIONS}


def _live(registry: Registry, client: httpx.Client, folder: Path, promotions: int) -> dict[str, float]:
    """How long it takes until a promotion is answered from."""
    seconds = []
    for number in range(promotions):
        version = add_version(registry, number, (folder / "files" / f"model-{number % 40}").as_uri())
        registry.promote(segment(number), version)
        began = time.monotonic()
        while client.post("/forecast", json={"model_id": segment(number)}).json()["model"]["version"] != version:
            time.sleep(0.02)
        seconds.append(time.monotonic() - began)
    seconds.sort()
    return {"median": seconds[len(seconds) // 2], "longest": seconds[-1]}


def _look(registry: Registry) -> float:
    watch = open_watch(registry)
    watch.changes()
    return _seconds(lambda: [watch.changes() for _ in range(LOOKS)]) / LOOKS


def _memory_at_rest() -> int:
    """As `_memory`, once nobody loads anything any more: the syncer and the runner import MLflow after the start."""
    before, now = 0, _memory()
    while abs(now - before) > _MB:
        time.sleep(5.0)
        before, now = now, _memory()
    return now


def _memory() -> int:
    """What the processes below this one use, in bytes, shared pages counted once (PSS)."""
    family = psutil.Process(os.getpid()).children(recursive=True)
    return sum(process.memory_full_info().pss for process in family)


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
