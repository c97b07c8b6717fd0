"""How wide intervals are: ours and Prophet's against a long simulation of the process that Prophet documents.

`python -m benchmarks.intervals [--quick]`. Bars: half-widths within 0.5 % rms and 1 % at most, twice that for logistic
growth. Then, for information, how Prophet's intervals depend on which rows are asked for and on the run.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.frame import Row, compare, options, table, write
from benchmarks.interval_cases import CASES, Case, simulate
from forecasting.forecast import forecast

Floats = npt.NDArray[np.float64]

SAMPLES, QUICK_SAMPLES = 200_000, 20_000
RUNS = 20  # of Prophet's sampler, for its spread
RMS, LARGEST = 0.5, 1.0  # the bars in percent; twice that for logistic growth
DAY = 364  # the position of the day that is asked for in several ways


@dataclass(frozen=True)
class Errors:
    """Of the half-width, in percent of the simulation's, over the rows of a case."""

    rms: float
    largest: float

    @classmethod
    def of(cls, width: Floats, truth: Floats) -> Errors:
        """From the widths of both, (rows,)."""
        error = 100.0 * (width / truth - 1.0)
        return cls(float(np.sqrt((error**2).mean())), float(np.abs(error).max()))


@dataclass(frozen=True)
class Compared:
    """One case: our errors and Prophet's, of a single run with its 1000 samples over all the future rows."""

    case: Case
    ours: Errors
    prophets: Errors

    @property
    def bars(self) -> Errors:
        """What our errors are held to."""
        slack = 2.0 if self.case.is_logistic else 1.0
        return Errors(RMS * slack, LARGEST * slack)

    @property
    def meets(self) -> bool:
        """Whether both bars are met."""
        return self.ours.rms <= self.bars.rms and self.ours.largest <= self.bars.largest

    def rows(self) -> list[Row]:
        """The rows of the JSON file, with each bar as the ratio that it amounts to."""
        parts = (("rms", self.ours.rms, self.prophets.rms, self.bars.rms),)
        parts += (("max", self.ours.largest, self.prophets.largest, self.bars.largest),)
        return [
            compare(
                f"{self.case.name}: {name} error of the half-width",
                "%",
                ours=ours,
                peer="Prophet, 1000 samples",
                theirs=theirs,
                better="less",
                bar=theirs / bar,
            )
            for name, ours, theirs, bar in parts
        ]


def measure(case: Case, samples: int) -> Compared:
    """Simulate a case's checked rows, and compare."""
    ds, columns = case.rows()
    truth = np.quantile(simulate(case.model, ds, columns, samples, seed=2), [0.1, 0.9], axis=0)
    ours = forecast(case.model, ds, columns)
    prophets = case.prophet.predict(case.future).iloc[case.places]
    return Compared(
        case,
        Errors.of(ours.yhat_upper - ours.yhat_lower, truth[1] - truth[0]),
        Errors.of((prophets["yhat_upper"] - prophets["yhat_lower"]).to_numpy(), truth[1] - truth[0]),
    )


def comparison(found: Sequence[Compared]) -> str:
    """The table of all cases."""
    header = ("configuration", "rows", "ours rms %", "max %", "bars", "Prophet rms %", "max %", "meets")
    lines = [
        (
            one.case.name,
            str(len(one.case.places)),
            f"{one.ours.rms:.2f}",
            f"{one.ours.largest:.2f}",
            f"{one.bars.rms:g} / {one.bars.largest:g}",
            f"{one.prophets.rms:.1f}",
            f"{one.prophets.largest:.1f}",
            "yes" if one.meets else "**no**",
        )
        for one in found
    ]
    return table(header, lines)


def dependence(case: Case, runs: int) -> str:
    """The half-width of one and the same day, asked for in several ways; Prophet's as the mean of its runs."""
    asked = {
        "daily from the history's end": slice(0, DAY + 1),
        "every 30 days": slice(DAY % 30, DAY + 1, 30),
        "its month only": slice(DAY - 29, DAY + 1),
        "alone": slice(DAY, DAY + 1),
    }
    lines = []
    for name, chosen in asked.items():
        rows = case.future.iloc[chosen]
        ours = forecast(case.model, rows["ds"].to_numpy().astype("M8[ns]").astype(np.int64))
        half = float(ours.yhat_upper[-1] - ours.yhat_lower[-1]) / 2.0
        theirs = [_half_width(case.prophet.predict(rows)) for _ in range(runs)]
        lines.append((name, f"{half!r}", f"{np.mean(theirs):.2f}"))
    return table((f"day {DAY + 1} asked for", "our half-width", f"Prophet's, mean of {runs} runs"), lines)


def spread(case: Case, runs: int) -> tuple[float, float]:
    """How yhat_upper differs from run to run, percent of the half-width: standard deviation, and the largest error."""
    rows = case.future.iloc[:90]
    found = [case.prophet.predict(rows) for _ in range(runs)]
    upper = np.stack([(one["yhat_upper"] - one["yhat"]).to_numpy() for one in found])
    error = 100.0 * (upper / upper.mean(axis=0) - 1.0)
    return float(error.std()), float(np.abs(error).max())


def main() -> int:
    """Measure, print both tables, write the JSON file; 1 when a bar is missed in a full run."""
    given = options("Half-widths of intervals against a simulation of the documented process.")
    warnings.simplefilter("ignore")  # Prophet's, about pandas
    np.random.seed(1)  # Prophet's sampler has no generator of its own
    samples, runs = (QUICK_SAMPLES, 3) if given.quick else (SAMPLES, RUNS)
    found = [measure(case, samples) for case in CASES]
    print(f"\n## Half-widths at 80 % against {samples:,} draws of the documented process\n\n{comparison(found)}")
    print(f"\n## The same day, asked for in several ways\n\n{dependence(CASES[0], runs)}")
    deviation, largest = spread(CASES[0], runs)
    print(
        f"\nProphet's yhat_upper from run to run ({runs} runs, 90 days), of its distance from yhat: standard deviation"
    )
    print(f"{deviation:.1f} %, largest error {largest:.0f} %. Ours: 0, the same bytes.")
    if given.results is not None:
        write("intervals", [row for one in found for row in one.rows()], given.results)
    if given.quick:
        print("A quick run's simulation is itself wrong by about a percent: it judges nothing.")
        return 0
    missed = [one.case.name for one in found if not one.meets]
    if missed:
        print(f"Below the bar: {'; '.join(missed)}.", file=sys.stderr)
    return 1 if missed else 0


def _half_width(predicted: pd.DataFrame) -> float:
    last = predicted.iloc[-1]
    return float(last["yhat_upper"] - last["yhat_lower"]) / 2.0


if __name__ == "__main__":
    sys.exit(main())
