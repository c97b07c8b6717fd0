"""Training jobs against the recipe that people use: Prophet.fit, cross_validation, log_model, one after the other.

Every segment has 731 days; both backtest on the same five cutoffs, 30 days ahead, register in the same MLflow store and
set the alias of the champion. Ours is the whole command `prophetctl train`, its start included; theirs is counted from
the second segment on, when everything is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.frame import Row, busy_percent, compare, options, report, table
from benchmarks.history import write_by_month
from benchmarks.jobs import STORES, Ran, Store, empty_store, train
from forecasting.recipe import DAMPED_AVERAGE, STOCK

CUTOFFS, HORIZON, PERIOD = 5, 30, 15
BACKTEST = ("--cutoffs", str(CUTOFFS), "--horizon", str(HORIZON))  # whose period is half a horizon
BARS = {STOCK.name: 30.0, DAMPED_AVERAGE.name: 10.0}  # how many times the segments a second
CORES = len(os.sched_getaffinity(0))
NAIVE, ALL_CORES = "naive recipe", f"naive recipe, {CORES} processes"
_PEER = Path(__file__).parent / "peers" / "naive_training.py"
PARTS = ("fit", "backtest", "register")


@dataclass(frozen=True)
class Pace:
    """How many segments each side trains."""

    ours: int
    theirs: int


FULL, QUICK = Pace(1000, 8), Pace(24, 1)


@dataclass(frozen=True)
class Naive:
    """What the naive recipe did: segments, their rate over all processes, and seconds of each part and `cpu`."""

    segments: int
    rate: float
    spent: Mapping[str, float]


def main() -> int:
    """Measure both on both stores and report."""
    given = options(__doc__ or "")
    pace = QUICK if given.quick else FULL
    print(f"Busy with other things before the run: {busy_percent():.0f} % of the processor.")
    rows: list[Row] = []
    lines: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="prophet-serving-training-") as folder:
        source = Path(folder) / "history"
        write_by_month(pace.ours, source)
        for kind in STORES:
            with empty_store(kind) as store:
                if not given.quick:
                    train(source, store, ["--segment", "s00000", "--dry-run"])  # compiles what is kept compiled
                theirs = {NAIVE: naive(source, store, pace.theirs, 1)}
                if CORES > 1 and not given.quick:
                    theirs[ALL_CORES] = naive(source, store, pace.theirs, CORES)
                for recipe in BARS:
                    ours = train(source, store, ["--recipe", recipe, *BACKTEST])
                    rows += _rows(kind, recipe, pace.ours, ours, theirs)
                    if not given.quick:
                        lines.append(_parts(kind, recipe, pace.ours, ours, source, store))
                lines.append(_naive_parts(kind, theirs[NAIVE]))
    print(f"\n{table(('store', 'by', *(f'{part} ms' for part in PARTS), 'CPU ms'), lines)}")
    return report("training", rows, given)


def naive(source: Path, store: Store, segments: int, processes: int) -> Naive:
    """Run the naive recipe over so many segments in each of so many processes, after one that warms it up."""
    numbers = [str(number) for number in (CUTOFFS, HORIZON, PERIOD)]
    with ExitStack() as stack:
        started = []
        for process in range(processes):
            first = (1 + segments) * (processes - 1 + process)  # other ones than a run with fewer processes had
            names = [f"s{number:05d}" for number in range(first, first + 1 + segments)]
            command = [sys.executable, str(_PEER), str(source), *numbers, *names]
            environment = {**os.environ, **store.environment}
            peer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
            stack.callback(_stop, peer)
            started.append(peer)
        told = [_told(peer) for peer in started]
    spent = {part: sum(one[part] for one in told) for part in (*PARTS, "cpu")}
    rate = sum(one["segments"] / sum(one[part] for part in PARTS) for one in told)
    return Naive(segments * processes, rate, spent)


def _told(peer: subprocess.Popen[str]) -> dict[str, float]:
    output, errors = peer.communicate()
    if peer.returncode != 0:
        raise RuntimeError(f"the naive recipe ended with {peer.returncode}:\n{errors[-2000:]}")
    told: dict[str, float] = json.loads(output.splitlines()[-1])
    return told


def _stop(peer: subprocess.Popen[str]) -> None:
    peer.kill()
    peer.wait()


def _rows(kind: str, recipe: str, segments: int, ours: Ran, theirs: Mapping[str, Naive]) -> Iterator[Row]:
    """Segments a second, which the naive recipe holds to the bar, and processor time a segment."""
    for peer, naive in theirs.items():
        bar = BARS[recipe] if peer == NAIVE else None
        rate = segments / ours.seconds
        yield compare(
            f"{recipe}, {kind}", "segments/s", ours=rate, peer=peer, theirs=naive.rate, better="more", bar=bar
        )
    cpu, naive_cpu = (1000 * seconds for seconds in (ours.cpu_seconds / segments, _each(theirs[NAIVE], "cpu")))
    yield compare(f"{recipe}, {kind}, CPU", "ms a segment", ours=cpu, peer=NAIVE, theirs=naive_cpu, better="less")


def _parts(kind: str, recipe: str, segments: int, whole: Ran, source: Path, store: Store) -> list[str]:
    """Where a job's time goes, by leaving out what can be left out; fitting has the start of the processes in it."""
    fit, backtested = (
        train(source, store, ["--recipe", recipe, "--dry-run", *more]).seconds
        for more in (["--cutoffs", "0"], BACKTEST)
    )
    parts = (fit, backtested - fit, whole.seconds - backtested)
    return [kind, recipe, *(f"{1000 * one / segments:.1f}" for one in (*parts, whole.cpu_seconds))]


def _naive_parts(kind: str, naive: Naive) -> list[str]:
    return [kind, NAIVE, *(f"{1000 * _each(naive, part):.1f}" for part in (*PARTS, "cpu"))]


def _each(naive: Naive, part: str) -> float:
    """Seconds a segment."""
    return naive.spent[part] / naive.segments


if __name__ == "__main__":
    sys.exit(main())
