"""How well the default recipe forecasts: errors, intervals and processor time, beside its peers, on real series.

`python -m benchmarks.accuracy [--quick] [--full] [--peers PYTHON]`. The monthly and quarterly series of the M3 and
tourism competitions with their own horizons decide; yearly, half-hourly, daily, weekly and hourly series show that
other cadences are not worse off than with stock Prophet. Only the half of the series that the recipe's constants were
not chosen on is used. --full takes all of them instead of a sample. Prophet with cmdstan, which takes ten times as long
as all else here, fits a sample of each set; the same stock model by the exact solver fits all.

AutoETS and Theta need statsforecast, whose pins clash with ours, and some series other packages: the first run makes
an environment for them, which is kept, as are their forecasts. --peers names the Python of another one that has
requirements/peers.txt installed. A quick run does without peers, unless it is named.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.accuracy_peers import ETS, THETA, environment, peer_forecasts
from benchmarks.accuracy_scores import Ahead, by_cmdstan, by_recipe, naive, score
from benchmarks.accuracy_series import COMPETITIONS, REPORTED, Series, competitions, half_hourly, series_of_others
from benchmarks.accuracy_summary import change, changes_table, means, paired, sets_table
from benchmarks.frame import Row, compare, options, report
from forecasting.recipe import DAMPED_AVERAGE, STOCK, cadence_of

Ways = Mapping[str, Callable[[Series], Ahead | None]]

OURS, EXACT, CMDSTAN, NAIVE = "damped average", "stock, exact", "stock Prophet", "seasonal naive"
WAYS: Ways = {OURS: by_recipe(DAMPED_AVERAGE), EXACT: by_recipe(STOCK), NAIVE: naive}
SAMPLE, CMDSTAN_SAMPLE, QUICK = 150, 30, 4  # series of each set; of those, by cmdstan; both in a quick run
WELL_BELOW = 0.75  # of stock Prophet's MASE: what ours may be at most
NO_WORSE = 1.02  # phi and rho that forecast as well as each other lie so far apart; less is no difference in practice
COVERED = (77.0, 83.0)  # percent, of intervals that should hold 80


def main() -> int:
    """Score every way on every series and report."""
    given, rest = _flags()
    shared = options("accuracy of the default recipe", rest)
    most = QUICK if shared.quick else None if given.full else SAMPLE
    few = QUICK if shared.quick else SAMPLE if given.full else CMDSTAN_SAMPLE
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        python = given.peers or (None if shared.quick else environment())
        decisive, beside = competitions(most), [*competitions(most, yearly=True), *half_hourly()]
        if python:
            beside += series_of_others(python)
        scores = _scores([*decisive, *(series for series in beside if series.half == REPORTED)], few)
        if python:
            scores = pd.concat([scores, _peer_scores(decisive, python)])
    four = scores["group"].isin(COMPETITIONS)
    print(sets_table(scores))
    print("\nChange against others (95 % of bootstrap resamples of the series):\n")
    print(changes_table(scores[four], OURS, (EXACT, CMDSTAN, NAIVE, ETS, THETA), "four sets"), end="\n\n")
    print(changes_table(scores[~four], OURS, (EXACT, CMDSTAN, NAIVE), "all others"))
    return report("accuracy", [*decisive_rows(scores[four]), *cadence_rows(scores[~four])], shared)


def _flags() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--peers")
    return parser.parse_known_args()


def _scores(every: Sequence[Series], few: int) -> pd.DataFrame:
    """A row for each series and way that could forecast it; stock Prophet does the first `few` of a set."""
    for way in (*WAYS.values(), by_cmdstan):  # what is compiled and prepared once is nobody's time
        way(every[0])
    rows, seen = [], dict.fromkeys((series.group for series in every), 0)
    for series in every:
        seen[series.group] += 1
        ways = WAYS if seen[series.group] > few else {**WAYS, CMDSTAN: by_cmdstan}
        for name, way in ways.items():
            if (ahead := way(series)) is not None:
                rows.append(_row(series, name, ahead))
    return pd.DataFrame(rows)


def _peer_scores(every: Sequence[Series], python: str) -> pd.DataFrame:
    rows = [
        _row(series, way, ahead)
        for way, forecasts in peer_forecasts(every, python).items()
        for series, ahead in zip(every, forecasts, strict=True)
        if ahead is not None
    ]
    return pd.DataFrame(rows)


def _row(series: Series, way: str, ahead: Ahead) -> dict[str, object]:
    named = {"group": series.group, "name": series.name, "cadence": cadence_of(series.freq), "way": way}
    return {**named, **vars(score(series, ahead))}


def decisive_rows(four: pd.DataFrame) -> Iterator[Row]:
    """What the four sets are held to: a mean to its bar and, but for cmdstan's sample, the worse end of its 95 % too.

    "No worse" than a peer is a mean that is not above theirs, whose upper end is within NO_WORSE of theirs: a mean
    alone would let the half of all equals pass, an upper end of no more than theirs would ask for being better.
    """
    ways = set(four["way"])
    bounds: list[tuple[str, float, float | None]] = [
        (EXACT, WELL_BELOW, WELL_BELOW),
        (CMDSTAN, WELL_BELOW, None),
        (NAIVE, 1.0, NO_WORSE),
        (ETS, 1.0, NO_WORSE),
        (THETA, 1.0, NO_WORSE),
    ]
    for way, most, upper in (bound for bound in bounds if bound[0] in ways):
        both = paired(four, "mase", OURS, way)
        found = change(both)
        yield _against(both, "MASE", "MASE", way)
        yield _share("MASE over theirs, mean of four sets", way, found.mean, most)
        yield _share("MASE over theirs, upper end of 95 %", way, found.high, upper)
    for way in (way for way in (EXACT, CMDSTAN, ETS, THETA) if way in ways):
        yield _against(
            paired(four, "interval", OURS, way), "interval score", "MASE units", way, 1.0 if way == ETS else None
        )
    covered = float(100 * four[four["way"] == OURS].groupby("group")["coverage"].mean().mean())
    meets = COVERED[0] <= covered <= COVERED[1]
    yield Row("coverage of 80 % intervals", "%", round(covered, 1), "nominal", 80.0, round(covered / 80, 3), 1.0, meets)
    for way in (way for way in (CMDSTAN, ETS, THETA) if way in ways):
        both = paired(four, "cpu", OURS, way)
        yield _against(both, "CPU a series, our backtests included", "ms", way, 1.0 if way == CMDSTAN else None)


def cadence_rows(beside: pd.DataFrame) -> Iterator[Row]:
    """What the other cadences are held to: no worse than stock Prophet, in the mean of their sets."""
    for cadence, own in beside.groupby("cadence", sort=False):
        for way in (EXACT, CMDSTAN):
            found = change(paired(own, "mase", OURS, way))
            yield _share(f"MASE over theirs, mean of the {cadence} sets", way, found.mean, 1.0)


def _against(both: pd.DataFrame, name: str, unit: str, way: str, bar: float | None = None) -> Row:
    ours, theirs = means(both)
    label = f"{name}, mean of four sets"
    return compare(label, unit, ours=ours, peer=way, theirs=theirs, better="less", bar=bar)


def _share(name: str, way: str, percent: float, most: float | None) -> Row:
    """Ours over theirs as a figure of its own, held to `most`."""
    bar = most and 1.0 / most
    return compare(name, "1", ours=1.0 + percent / 100.0, peer=way, theirs=1.0, better="less", bar=bar)


if __name__ == "__main__":
    sys.exit(main())
