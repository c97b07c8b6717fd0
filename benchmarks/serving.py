"""Forecasts over HTTP: this service against four that users would run instead, and against a no-op of its own.

One model of 731 daily points, 30 days ahead, at 1 and at 32 connections on loopback, one server at a time.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.bench_model import register_champion
from benchmarks.frame import Row, busy_percent, compare, options, report, table
from benchmarks.history import SEGMENT, daily_history, history_body
from benchmarks.load import Measured, Request, ask, generator, measure
from benchmarks.servers import serving

PERIODS = 30
BARRED = 32  # the number of connections that the bars are for
FIT = "FastAPI, fits every request"
HISTORY_TOO = "FastAPI, fitted model kept, history rows predicted too"
FUTURE_ONLY = "FastAPI, fitted model kept, future rows only"
MLFLOW = "mlflow models serve"
REGISTERED = "registered model"
WARM = "inline history, seen before"
COLD = "inline history, never seen before"
NO_OP = "no-op of the same service (GET /livez)"

# What is compared with what, and how many times better it has to be.
COMPARISONS: tuple[tuple[str, str, float | None], ...] = (
    (REGISTERED, FIT, 5.0),
    (REGISTERED, HISTORY_TOO, 2.0),
    (REGISTERED, FUTURE_ONLY, 1.0),
    (REGISTERED, MLFLOW, 1.0),
    (WARM, FIT, 5.0),
    (COLD, FIT, None),
    (REGISTERED, NO_OP, None),
)

Figures = dict[tuple[str, int], Measured]


@dataclass(frozen=True)
class Pace:
    """How long to measure (seconds) after how long a warm-up, and at which numbers of connections."""

    seconds: float
    warm_up: float
    connections: tuple[int, ...]


FULL = Pace(seconds=6.0, warm_up=1.0, connections=(1, 32))
# So few connections, which no bar is for, leave no long queues behind that the next server would have to wait for.
QUICK = Pace(seconds=1.0, warm_up=0.0, connections=(4,))


def main() -> int:
    """Measure everyone, one after the other, and report."""
    started = time.monotonic()
    given = options(__doc__ or "")
    pace = QUICK if given.quick else FULL
    print(f"Load generator: {generator()}.")
    print(f"Busy with other things before the run: {busy_percent():.0f} % of the processor.")
    with tempfile.TemporaryDirectory() as folder:
        uri = register_champion(Path(folder))
        figures = measure_fastapi(pace) | measure_mlflow(uri, pace) | measure_ours(uri, Path(folder), pace)
    print(f"\n## as measured\n\n{measured_table(figures)}")
    code = report("serving", rows_of(figures), given)
    failing = [f"{who} ({count} connections)" for (who, count), seen in figures.items() if is_fault(who, seen)]
    if failing:
        print(f"Requests failed: {'; '.join(failing)}.", file=sys.stderr)
    print(f"The run took {time.monotonic() - started:.0f} s.")
    return 1 if failing else code


def is_fault(who: str, seen: Measured) -> bool:
    """Whether our service failed requests that it has to answer; under cold fits it may ask to come again."""
    return seen.errors > 0 and who in {REGISTERED, WARM, NO_OP}


def measure_fastapi(pace: Pace) -> Figures:
    """Measure the three FastAPI services."""
    with serving(_uvicorn("fastapi_fit"), ready="/health", grace=1.0) as url:
        figures = _measure(FIT, Request(f"{url}/forecast", history_body(SEGMENT, PERIODS)), pace)
    with serving(_uvicorn("fastapi_cached"), ready="/health", grace=1.0) as url:
        ask(Request(f"{url}/forecast", history_body(SEGMENT, PERIODS)))
        for who, flag in ((HISTORY_TOO, "true"), (FUTURE_ONLY, "false")):
            figures |= _measure(who, Request(f"{url}/forecast?include_history={flag}", _by_name()), pace)
    return figures


def measure_mlflow(uri: str, pace: Pace) -> Figures:
    """Measure MLflow's own server, which is told the dates to forecast."""
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--host", "127.0.0.1"]
    command += ["--port", "{port}", "--model-uri", f"models:/forecast.{SEGMENT}@champion"]
    # MLflow starts uvicorn by its bare name.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with serving(command, ready="/ping", env={"MLFLOW_TRACKING_URI": uri, "PATH": path}, grace=1.0) as url:
        dates = pd.date_range(daily_history()["ds"].iloc[-1], periods=PERIODS + 1, freq="D")[1:]
        records = [{"ds": f"{ds:%Y-%m-%d}"} for ds in dates]
        return _measure(MLFLOW, Request(f"{url}/invocations", json.dumps({"dataframe_records": records})), pace)


def measure_ours(uri: str, folder: Path, pace: Pace) -> Figures:
    """Measure the service of this checkout, as `make serve` runs it."""
    command = [sys.executable, "-m", "bentoml", "serve", "service:ForecastService"]
    command += ["--host", "127.0.0.1", "--port", "{port}"]
    env = {"MLFLOW_TRACKING_URI": uri, "BENTOML_HOME": str(folder / "bentoml")}
    with serving(command, ready="/readyz", env=env) as url:
        figures = _measure(NO_OP, Request(f"{url}/livez"), pace)
        figures |= _measure(REGISTERED, Request(f"{url}/forecast", _by_name()), pace)
        figures |= _measure(WARM, Request(f"{url}/forecast", history_body("inline", PERIODS)), pace)
        # Last, because it leaves fits behind that nobody waits for.
        figures |= _measure(COLD, Request(f"{url}/forecast", history_body("inline", PERIODS, fresh=True)), pace)
    return figures


def measured_table(figures: Figures) -> str:
    """Write what every server did, with latencies."""
    header = ("server", "connections", "requests/s", "p50 ms", "p99 ms", "failed")
    lines = [
        (who, str(count), f"{seen.per_second:,.4g}", f"{seen.p50_ms:,.4g}", f"{seen.p99_ms:,.4g}", str(seen.errors))
        for (who, count), seen in figures.items()
    ]
    return table(header, lines)


def rows_of(figures: Figures) -> list[Row]:
    """Compare ours with theirs, a row for each comparison and number of connections."""
    return list(_rows(figures))


def _rows(figures: Figures) -> Iterator[Row]:
    connections = sorted({count for _, count in figures})
    for who, peer, bar in COMPARISONS:
        for count in connections:
            yield compare(
                f"{who}, {count} connection{'s' if count > 1 else ''}",
                "requests/s",
                ours=figures[who, count].per_second,
                peer=peer,
                theirs=figures[peer, count].per_second,
                better="more",
                bar=bar if count == BARRED else None,
            )


def _measure(who: str, request: Request, pace: Pace) -> Figures:
    """Check one answer, then warm up, wait for quiet and measure at each number of connections."""
    answer = ask(request)
    if request.body is not None and answer.text.count('"yhat"') != PERIODS:
        raise RuntimeError(f"{who}: the answer does not have {PERIODS} rows: {answer.text[:500]}")
    figures: Figures = {}
    for connections in pace.connections:
        if pace.warm_up:
            measure(request, connections, pace.warm_up)
        ask(request)
        figures[who, connections] = measure(request, connections, pace.seconds)
        print(f"measured: {who}, {connections} connections: {figures[who, connections]}", file=sys.stderr)
    return figures


def _by_name() -> str:
    """The request that names a model and brings no history."""
    return json.dumps({"model_id": SEGMENT, "periods": PERIODS})


def _uvicorn(peer: str) -> list[str]:
    """The command that runs one of benchmarks/peers, with its access log off as production has it."""
    app = f"benchmarks.peers.{peer}:app"
    return [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", "{port}", "--no-access-log"]


if __name__ == "__main__":
    sys.exit(main())
