"""Forecasts over HTTP: this service against five that users would run instead, and against a no-op of its own.

One model of 731 daily points, 30 days ahead, at 1 and at 32 connections on loopback, one server at a time. Ours holds
it for 500 segments more and is asked for them in turn, as its users ask: no two requests in a row are for the same.
Peers hold one model and are asked for that. Then all 500 segments in one request, at one connection.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from benchmarks.bench_model import register_champion, register_copies
from benchmarks.frame import Row, busy_percent, compare, options, report, table
from benchmarks.history import SEGMENT, daily_history, history_body
from benchmarks.load import PLACE, Measured, Request, ask, generator, measure
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
CEILING = "no-op of the same service (POST /nothing)"
BENTOML = "plain BentoML service, Prophet.predict"
BATCH = "registered models, one request for all"

# What is compared with what, by requests/s, and how many times better it has to be.
COMPARISONS: tuple[tuple[str, str, float | None], ...] = (
    (REGISTERED, CEILING, 0.75),
    (REGISTERED, FIT, None),
    (REGISTERED, HISTORY_TOO, 100.0),
    (REGISTERED, FUTURE_ONLY, 100.0),
    (REGISTERED, MLFLOW, 100.0),
    (REGISTERED, BENTOML, 100.0),
    (WARM, FIT, 8.0),
    (COLD, FIT, 8.0),
)
TAIL = 0.5  # p99 of a registered forecast at most twice the ceiling's
FORECASTS = 20_000.0  # a second, on one worker, in large requests

Figures = dict[tuple[str, int], Measured]


@dataclass(frozen=True)
class Pace:
    """How long to measure (seconds) after how long a warm-up, at which numbers of connections; segments a batch."""

    seconds: float
    warm_up: float
    connections: tuple[int, ...]
    segments: int


FULL = Pace(seconds=6.0, warm_up=1.0, connections=(1, 32), segments=500)
# So few connections, which no bar is for, leave no long queues behind that the next server would have to wait for.
QUICK = Pace(seconds=1.0, warm_up=0.0, connections=(4,), segments=20)


def main() -> int:
    """Measure everyone, one after the other, and report."""
    started = time.monotonic()
    given = options(__doc__ or "")
    pace = QUICK if given.quick else FULL
    print(f"Load generator: {generator()}.")
    print(f"Busy with other things before the run: {busy_percent():.0f} % of the processor.")
    with tempfile.TemporaryDirectory() as folder:
        uri = register_champion(Path(folder))
        figures = measure_fastapi(pace) | measure_mlflow(uri, pace) | measure_bentoml(uri, Path(folder), pace)
        figures |= measure_ours(uri, Path(folder), pace)
    print(f"\n## as measured\n\n{measured_table(figures)}")
    code = report("serving", rows_of(figures, pace.segments), given)
    failing = [f"{who} ({count} connections)" for (who, count), seen in figures.items() if is_fault(who, seen)]
    if failing:
        print(f"Requests failed: {'; '.join(failing)}.", file=sys.stderr)
    print(f"The run took {time.monotonic() - started:.0f} s.")
    return 1 if failing else code


def is_fault(who: str, seen: Measured) -> bool:
    """Whether our service failed requests that it has to answer; under cold fits it may ask to come again."""
    return seen.errors > 0 and who in {REGISTERED, WARM, CEILING, BATCH}


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


def measure_bentoml(uri: str, folder: Path, pace: Pace) -> Figures:
    """Measure the BentoML service that a user of the two libraries writes first."""
    env = {"MLFLOW_TRACKING_URI": uri, "MODEL_URI": f"models:/forecast.{SEGMENT}@champion"}
    with serving(_bentoml("bentoml_plain:ProphetForecast"), ready="/readyz", env=env | _home(folder)) as url:
        return _measure(BENTOML, Request(f"{url}/forecast", _by_name()), pace)


def measure_ours(uri: str, folder: Path, pace: Pace) -> Figures:
    """Measure the service of this checkout, as `make serve` runs it."""
    segments = register_copies(uri, pace.segments)
    env = {"MLFLOW_TRACKING_URI": uri, "FORECAST_SNAPSHOT_DIR": str(folder / "snapshot")} | _home(folder)
    with serving(_bentoml("ceiling:ForecastService"), ready="/readyz", env=env) as url:
        _wait_for_catalog(url, len(segments) + 1)
        each = json.dumps({"model_id": f"{SEGMENT}_{PLACE}", "periods": PERIODS})
        figures = _measure(CEILING, Request(f"{url}/nothing", each, pace.segments), pace)
        figures |= _measure(REGISTERED, Request(f"{url}/forecast", each, pace.segments), pace)
        batch = json.dumps({"requests": [{"model_id": segment, "periods": PERIODS} for segment in segments]})
        one_connection = replace(pace, connections=(1,))
        figures |= _measure(BATCH, Request(f"{url}/forecast/batch", batch), one_connection, len(segments))
        figures |= _measure(WARM, Request(f"{url}/forecast", history_body("inline", PERIODS)), pace)
        # Last, because it leaves fits behind that nobody waits for.
        figures |= _measure(COLD, Request(f"{url}/forecast", history_body("inline", PERIODS, fresh=True)), pace)
    return figures


def _wait_for_catalog(url: str, segments: int) -> None:
    """Wait until all champions are in the snapshot."""
    deadline = time.monotonic() + 240.0
    while (catalog := ask(Request(f"{url}/health")).json()["catalog"])["segments"] < segments:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the catalog does not fill: {catalog}")
        time.sleep(0.2)


def measured_table(figures: Figures) -> str:
    """Write what every server did, with latencies."""
    header = ("server", "connections", "requests/s", "p50 ms", "p99 ms", "failed")
    lines = [
        (who, str(count), f"{seen.per_second:,.4g}", f"{seen.p50_ms:,.4g}", f"{seen.p99_ms:,.4g}", str(seen.errors))
        for (who, count), seen in figures.items()
    ]
    return table(header, lines)


def rows_of(figures: Figures, segments: int) -> list[Row]:
    """Compare ours with theirs, a row for each comparison and number of connections; segments: in a batch."""
    return [*_rows(figures), *_tail_rows(figures), _batch_row(figures, segments)]


def _rows(figures: Figures) -> Iterator[Row]:
    for who, peer, bar in COMPARISONS:
        for count in _connections(figures):
            theirs = figures[peer, count].per_second
            if not theirs:
                continue  # in the second of a quick run, on a busy machine, the slowest answer nothing
            yield compare(
                _name(who, count),
                "requests/s",
                ours=figures[who, count].per_second,
                peer=peer,
                theirs=theirs,
                better="more",
                bar=bar if count == BARRED or (peer == CEILING and count == 1) else None,
            )


def _tail_rows(figures: Figures) -> Iterator[Row]:
    for count in _connections(figures):
        yield compare(
            _name(REGISTERED, count),
            "ms, p99",
            ours=figures[REGISTERED, count].p99_ms,
            peer=CEILING,
            theirs=figures[CEILING, count].p99_ms,
            better="less",
            bar=TAIL,
        )


def _batch_row(figures: Figures, segments: int) -> Row:
    ours = figures[BATCH, 1].per_second * segments
    name = f"{segments} {BATCH}"
    return compare(name, "forecasts/s", ours=ours, peer="the bar", theirs=FORECASTS, better="more", bar=1.0)


def _connections(figures: Figures) -> list[int]:
    return sorted({count for who, count in figures if who == REGISTERED})


def _name(who: str, count: int) -> str:
    return f"{who}, {count} connection{'s' if count > 1 else ''}"


def _measure(who: str, request: Request, pace: Pace, segments: int = 1) -> Figures:
    """Check one answer, then warm up, wait for quiet and measure at each number of connections."""
    answer = ask(request)
    if who != CEILING and answer.text.count('"yhat"') != PERIODS * segments:
        raise RuntimeError(f"{who}: the answer does not have {PERIODS * segments} rows: {answer.text[:500]}")
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


def _bentoml(peer: str) -> list[str]:
    """The command that serves one of benchmarks/peers with BentoML."""
    command = [sys.executable, "-m", "bentoml", "serve", f"benchmarks.peers.{peer}"]
    return [*command, "--host", "127.0.0.1", "--port", "{port}"]


def _home(folder: Path) -> dict[str, str]:
    return {"BENTOML_HOME": str(folder / "bentoml")}


def _uvicorn(peer: str) -> list[str]:
    """The command that runs one of benchmarks/peers, with its access log off as production has it."""
    app = f"benchmarks.peers.{peer}:app"
    return [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", "{port}", "--no-access-log"]


if __name__ == "__main__":
    sys.exit(main())
