"""What a catalog of many champions costs: to start, to keep true to the registry, and in memory.

`python -m benchmarks.catalog [--quick] [--champions N] [--postgres URL]`: in SQLite, or in a fresh PostgreSQL database
whose URL is given. The bars are those of docs/catalog.md.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from benchmarks.catalog_store import add_version, fill, segment
from benchmarks.frame import Row, compare, options, report
from benchmarks.servers import serving
from registry.registry import Registry
from registry.watch import open_watch

CHAMPIONS, QUICK_CHAMPIONS = 100_000, 1_000
PROMOTIONS, QUICK_PROMOTIONS = 20, 3
LOOKS = 20
ASKED = 20_000  # forecasts that every start is asked for before its memory is measured
SERVE = [sys.executable, "-m", "bentoml", "serve", "service:ForecastService", "--host", "127.0.0.1", "--port", "{port}"]
_READY_SECONDS, _LIVE_SECONDS, _WORKER_MB = 10.0, 5.0, 150.0  # the bars
_MB = 2**20


def main(arguments: list[str] | None = None) -> int:
    """Fill a registry, and measure."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    champions, postgres = _taken(words, "--champions"), _taken(words, "--postgres")
    given = options("A catalog of many champions.", words)
    count = int(champions or (QUICK_CHAMPIONS if given.quick else CHAMPIONS))
    promotions = QUICK_PROMOTIONS if given.quick else PROMOTIONS
    with tempfile.TemporaryDirectory(prefix="prophet-serving-") as scratch:
        folder = Path(scratch)
        registry = Registry(postgres or f"sqlite:///{folder}/mlflow.db")
        registry.ping()
        took = _seconds(lambda: fill(registry, count, folder / "files"))
        print(f"{count} champions registered in {took:.0f} s")
        rows = _measure(registry, folder, count, promotions)
    return report("catalog-postgresql" if postgres else "catalog", rows, given)


def _measure(registry: Registry, folder: Path, count: int, promotions: int) -> list[Row]:
    rows = [_held("a look at nothing new", "ms", 1000 * _look(registry), 100.0)]
    cold = _start(registry, folder, 1)
    rows.append(_held("cold start to ready", "s", cold.ready, 3600.0))
    started = [_start(registry, folder, workers, promotions if workers == 1 else 0) for workers in (1, 3, 4)]
    rows.append(_held("start with a snapshot to ready", "s", started[0].ready, _READY_SECONDS))
    rows += [_held(f"promotion to live, {name}", "s", value, _LIVE_SECONDS) for name, value in started[0].live.items()]
    rows.append(_held("memory of one worker", "MB", started[0].memory, 2000.0))
    rows.append(_held("memory that a fourth worker adds", "MB", started[2].memory - started[1].memory, _WORKER_MB))
    [snapshot] = (folder / "snapshots").glob("*.snapshot")
    rows.append(_held("the snapshot", "MB", snapshot.stat().st_size / _MB, 0.005 * count))
    return rows


def _held(name: str, unit: str, value: float, most: float) -> Row:
    return compare(name, unit, ours=max(value, 0.0), peer="at most", theirs=most, better="less", bar=1.0)


class _start:
    """One start of the service on what earlier ones left in the folder; measured, and stopped."""

    def __init__(self, registry: Registry, folder: Path, workers: int, promotions: int = 0) -> None:
        environment = {
            "MLFLOW_TRACKING_URI": registry.uri,
            "FORECAST_SNAPSHOT_DIR": str(folder / "snapshots"),
            "FORECAST_RUNNER_WORKERS": "1",
            "BENTOML_CONFIG_OPTIONS": f"services.ForecastService.workers={workers}",
        }
        began = time.monotonic()
        with serving(SERVE, ready="/readyz", env=environment, patience=3600.0, log_to=folder / "log") as url:
            self.ready = time.monotonic() - began
            with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
                count = client.get("/health").json()["catalog"]["segments"]
                self.live = _live(registry, client, folder, promotions) if promotions else {}
                for start in range(0, ASKED, 500):
                    keys = [segment((start + number) * 7919 % count) for number in range(500)]
                    body = {"requests": [{"model_id": key, "periods": 30} for key in keys]}
                    client.post("/forecast/batch", json=body).raise_for_status()
            self.memory = _memory_of_workers() / _MB


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


def _memory_of_workers() -> int:
    """What the processes below this one use that serve HTTP or wait for it, shared pages counted once (PSS)."""
    family = psutil.Process(os.getpid()).children(recursive=True)
    return sum(process.memory_full_info().pss for process in family)


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _taken(words: list[str], flag: str) -> str | None:
    """Take a flag of this benchmark alone, with its value, out of the words."""
    if flag not in words:
        return None
    place = words.index(flag)
    value = words[place + 1]
    del words[place : place + 2]
    return value


if __name__ == "__main__":
    sys.exit(main())
