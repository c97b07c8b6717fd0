"""What registered forecasts feel of an inline path that is asked for more than it can do.

8 connections ask for a registered segment, alone and beside 64 connections that send histories which nobody has seen
(731 points), at the queue's default length and at a short one that turns most of them away.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.bench_model import register_champion
from benchmarks.frame import busy_percent, table
from benchmarks.history import SEGMENT, history_body
from benchmarks.load import Measured, Request, ask, measure
from benchmarks.servers import serving

SERVE = [sys.executable, "-m", "bentoml", "serve", "service:ForecastService", "--host", "127.0.0.1", "--port", "{port}"]
ASKING, SENDING = 8, 64  # connections
SECONDS = 5.0


def main() -> int:
    """Measure and print a table."""
    print(f"Busy with other things before the run: {busy_percent():.0f} % of the processor.")
    lines: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        uri = register_champion(Path(folder))
        for waiting in ("256", "8"):
            env = {"MLFLOW_TRACKING_URI": uri, "FORECAST_SNAPSHOT_DIR": f"{folder}/snapshot"}
            env |= {"BENTOML_HOME": f"{folder}/bentoml", "FORECAST_RUNNER_QUEUE": waiting}
            with serving(SERVE, ready="/readyz", env=env) as url:
                lines += _lines(url, waiting)
    header = ("registered, 8 connections", "requests/s", "p50 ms", "p99 ms", "failed", "inline/s", "inline refused")
    print(table(header, lines))
    return 0


def _lines(url: str, waiting: str) -> list[tuple[str, ...]]:
    registered = Request(f"{url}/forecast", f'{{"model_id": "{SEGMENT}", "periods": 30}}')
    inline = Request(f"{url}/forecast", history_body("inline", 30, fresh=True))
    for request in (registered, inline):
        ask(request)
    measure(registered, ASKING, 1.0)
    alone = measure(registered, ASKING, SECONDS)
    with ThreadPoolExecutor() as threads:
        beside = threads.submit(measure, inline, SENDING, SECONDS + 2.0)
        loaded = measure(registered, ASKING, SECONDS)
    return [
        _line(f"alone, queue of {waiting}", alone, None),
        _line(f"beside {SENDING} cold, queue of {waiting}", loaded, beside.result()),
    ]


def _line(name: str, seen: Measured, beside: Measured | None) -> tuple[str, ...]:
    figures = (f"{seen.per_second:,.0f}", f"{seen.p50_ms:.2f}", f"{seen.p99_ms:.2f}", str(seen.errors))
    return (name, *figures, *((f"{beside.per_second:.0f}", str(beside.errors)) if beside else ("-", "-")))


if __name__ == "__main__":
    sys.exit(main())
