"""How well the default recipe forecasts: errors, intervals and processor time, beside its peers, on real series.

`python -m benchmarks.accuracy [--quick] [--full] [--peers]`. The monthly and quarterly series of the M3 and tourism
competitions with their own horizons decide; yearly, half-hourly and, with --peers, daily, weekly and hourly series
show that other cadences are not worse off. Only the half of the series that the recipe's constants were not chosen on
is used. --full takes all of them instead of a sample. --peers makes an environment for statsforecast, whose pins
clash with ours, in a temporary folder; --peers PYTHON uses one that has peers/statsforecast.txt installed.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import venv
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.accuracy_scores import Ahead, by_cmdstan, by_recipe, naive, score
from benchmarks.accuracy_series import COMPETITIONS, REPORTED, Series, competitions, half_hourly, series_of_others
from benchmarks.frame import Row, compare, options, report, table
from forecasting.recipe import DAMPED_AVERAGE, STOCK, cadence_of

Floats = npt.NDArray[np.float64]
Ways = Mapping[str, Callable[[Series], Ahead | None]]

OURS, EXACT, CMDSTAN, NAIVE = "damped average", "stock, exact", "stock Prophet", "seasonal naive"
ETS, THETA = "AutoETS", "Theta"
WAYS: Ways = {OURS: by_recipe(DAMPED_AVERAGE), EXACT: by_recipe(STOCK), NAIVE: naive}
SAMPLE, CMDSTAN_SAMPLE, QUICK = 150, 30, 4  # series of each set; those that cmdstan fits too; those of a quick run
RESAMPLES = 2000
PEERS = Path(__file__).parent / "peers"
MEASURES = ("mase", "smape", "coverage", "interval", "cpu")


def main() -> int:
    """Score every way on every series and report."""
    given, rest = _flags()
    shared = options("accuracy of the default recipe", rest)
    most = QUICK if shared.quick else None if given.full else SAMPLE
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with ExitStack() as stack, threadpool_limits(1):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        python = given.peers and _environment(folder, given.peers)
        decisive, beside = competitions(most), [*competitions(most, yearly=True), *half_hourly()]
        if python:
            beside += series_of_others(folder, python)
        beside = [series for series in beside if series.half == REPORTED]
        few = None if given.full else QUICK if shared.quick else CMDSTAN_SAMPLE
        scores = _scores([*decisive, *beside], few)
        if python:
            scores = pd.concat([scores, _peer_scores(decisive, folder, python)])
    _print_sets(scores)
    rows = list(_rows(scores))
    return report("accuracy", rows, shared)


def _flags() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--peers", nargs="?", const="make one")
    return parser.parse_known_args()


def _scores(every: Sequence[Series], few: int | None) -> pd.DataFrame:
    """One row a series and way that could forecast it: group, name, way and the measures."""
    for way in WAYS.values():  # what is compiled and prepared once is nobody's time
        way(every[0])
    rows, seen = [], dict.fromkeys((series.group for series in every), 0)
    for series in every:
        seen[series.group] += 1
        ways = WAYS if few is not None and seen[series.group] > few else {**WAYS, CMDSTAN: by_cmdstan}
        for name, way in ways.items():
            if (ahead := way(series)) is not None:
                rows.append(_row(series, name, ahead))
    return pd.DataFrame(rows)


def _row(series: Series, way: str, ahead: Ahead) -> dict[str, object]:
    return {
        "group": series.group,
        "name": series.name,
        "cadence": cadence_of(series.freq),
        "way": way,
        **vars(score(series, ahead)),
    }


def _environment(folder: Path, given: str) -> str:
    """The Python of an environment with the peers' packages, made if none is given."""
    if given != "make one":
        return given
    place = folder / "environment"
    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    packages = ["--requirement", str(PEERS / "statsforecast.txt")]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def _peer_scores(every: Sequence[Series], folder: Path, python: str) -> pd.DataFrame:
    """statsforecast's, of the same series."""
    asked, told = folder / "series.json", folder / "forecasts.json"
    content = [
        {"season": series.season, "horizon": series.horizon, "y": series.y[: series.rows].tolist()} for series in every
    ]
    asked.write_text(json.dumps(content), encoding="utf-8")
    subprocess.run([python, str(PEERS / "statsforecast_peer.py"), str(asked), str(told)], check=True)
    found = json.loads(told.read_text(encoding="utf-8"))
    rows = [
        _row(series, way, Ahead(*(np.array(one[name]) for name in ("yhat", "lower", "upper")), one["cpu"]))
        for way, forecasts in found.items()
        for series, one in zip(every, forecasts, strict=True)
        if one is not None
    ]
    return pd.DataFrame(rows)


def _print_sets(scores: pd.DataFrame) -> None:
    """Every set and way, each measure's mean over the series where it is defined."""
    finite = scores.replace([np.inf, -np.inf], np.nan)
    grouped = finite.groupby(["group", "way"], sort=False)
    means, sizes = grouped[list(MEASURES)].mean(), grouped.size()
    lines = [
        [group, way, str(sizes[group, way]), *(f"{value:.3g}" for value in mean)]
        for (group, way), mean in zip(means.index, means.to_numpy(), strict=True)
    ]
    heads = ("series", "way", "n", "MASE", "sMAPE %", "80 % coverage", "interval score", "CPU ms")
    print(table(heads, lines))
    print("\nChange of mean MASE against others, % (95 % of bootstrap resamples of the series):")
    finite["name"] = finite["name"].str.split("@").str[0]  # the origins of a series are resampled together
    wide = finite.pivot_table(index=["group", "name"], columns="way", values="mase")
    changes = []
    for label, own in (("four sets", wide.loc[wide.index.isin(COMPETITIONS, level=0)]), *_by_group(wide)):
        for way in (EXACT, NAIVE, ETS, THETA):
            if way in own and own[way].notna().any():
                changes.append([label, way, "{:+.1f} ({:+.1f} to {:+.1f})".format(*_change(own, way, OURS))])
    print(table(("series", "against", "change"), changes))


def _by_group(wide: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for group in dict.fromkeys(wide.index.get_level_values(0)):
        yield group, wide.loc[[group]]


def _change(wide: pd.DataFrame, theirs: str, ours: str) -> tuple[float, float, float]:
    """By how many percent our mean is off theirs, the mean over the sets; and the same at both ends of 95 %."""
    random, drawn = np.random.default_rng(0), []
    known = wide[[ours, theirs]].dropna()
    whole = 0.0
    groups = [own.to_numpy() for _, own in known.groupby(level=0)]
    for own in groups:
        whole += (own[:, 0].mean() / own[:, 1].mean() - 1.0) / len(groups)
        means = own[random.integers(0, len(own), (RESAMPLES, len(own)))].mean(axis=1)
        drawn.append(means[:, 0] / means[:, 1] - 1.0)
    low, high = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975))
    return 100 * whole, 100 * float(low), 100 * float(high)


def _rows(scores: pd.DataFrame) -> Iterator[Row]:
    """The figures that are held to a bar: means over the four sets, each over the series that both forecast."""
    four = scores[scores["group"].isin(COMPETITIONS)]
    bars = {EXACT: 1.0 / 0.75, CMDSTAN: 1.0 / 0.75, NAIVE: 1.0, ETS: 1.0, THETA: 1.0}
    for way in (name for name in bars if name in set(four["way"])):
        ours, theirs = _means(four, "mase", way)
        yield compare(
            "MASE, mean of four sets", "MASE", ours=ours, peer=way, theirs=theirs, better="less", bar=bars[way]
        )
    for way in (name for name in (EXACT, CMDSTAN, ETS, THETA) if name in set(four["way"])):
        bar = 1.0 if way == ETS else None
        ours, theirs = _means(four, "interval", way)
        yield compare(
            "interval score, mean of four sets",
            "MASE units",
            ours=ours,
            peer=way,
            theirs=theirs,
            better="less",
            bar=bar,
        )
    covered = float(100 * four[four["way"] == OURS].groupby("group")["coverage"].mean().mean())
    meets = bool(77 <= covered <= 83)
    yield Row("coverage of 80 % intervals", "%", round(covered, 1), "nominal", 80.0, round(covered / 80, 3), 1.0, meets)
    for way in (name for name in (CMDSTAN, ETS, THETA) if name in set(four["way"])):
        ours, theirs = _means(four, "cpu", way)
        bar = 1.0 if way == CMDSTAN else None
        yield compare(
            "CPU a series, our backtests included", "ms", ours=ours, peer=way, theirs=theirs, better="less", bar=bar
        )
    beside = scores[~scores["group"].isin(COMPETITIONS)]
    for cadence, own in beside.groupby("cadence", sort=False):
        ours, theirs = _means(own, "mase", EXACT)
        name = f"MASE, mean of the {cadence} sets"
        yield compare(name, "MASE", ours=ours, peer=EXACT, theirs=theirs, better="less", bar=1.0)


def _means(scores: pd.DataFrame, measure: str, way: str) -> tuple[float, float]:
    """The mean over sets of our mean, and of theirs, on the series where both are finite."""
    finite = scores.replace([np.inf, -np.inf], np.nan)
    wide = finite.pivot_table(index=["group", "name"], columns="way", values=measure)[[OURS, way]].dropna()
    ours, theirs = wide.groupby(level=0).mean().mean()
    return float(ours), float(theirs)


if __name__ == "__main__":
    sys.exit(main())
