"""What choosing among recipes for each series brings against the damped average everywhere, on the real series.

`python -m benchmarks.choosing [--series N] [--peers PYTHON]`. First each recipe's errors beside the damped average's,
on the half of the series that recipes are tuned on: the mean logarithm of the ratio of MASEs is what `Pace.log_error`
asks for. Then, with those, what ways of choosing make of both halves; only the second half tells what they bring.
PYTHON as for benchmarks.accuracy_tuning.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.accuracy_peers import environment
from benchmarks.accuracy_scores import CUTOFFS, WIDTH, Ahead, cpu_seconds, score, variant
from benchmarks.accuracy_series import REPORTED, TUNED, Series, competitions, half_hourly, series_of_others
from benchmarks.accuracy_summary import change, paired
from benchmarks.frame import table
from forecasting.calibration import calibrate
from forecasting.choice import choose
from forecasting.configuration import Configuration
from forecasting.forecast import forecast
from forecasting.history import History
from forecasting.metrics import mase
from forecasting.past import Past
from forecasting.plan import BacktestConfig, ChooseConfig
from forecasting.predict import predict
from forecasting.recipe import DAMPED_AVERAGE, STOCK, Cadence, Recipe, cadence_of
from training.config import JobConfig, SourceConfig

OURS = DAMPED_AVERAGE.name


RECIPES = (
    DAMPED_AVERAGE,
    STOCK.model_copy(update={"name": "plain"}),
    variant(name="stiff", changepoint_prior_scales=(0.01, 0.03, 0.1)),
    variant(name="loose", changepoint_prior_scales=(0.2, 0.5, 1.0)),
    variant(name="slow", phi=0.97),
    variant(name="still", phi=0.6, rho=0.75),
)
WAYS: Mapping[str, ChooseConfig | None] = {  # among: filled in with what was measured
    OURS: None,
    "least own error": ChooseConfig(keep=1, own_weight=1.0),
    "least score": ChooseConfig(keep=1),
    "best 2": ChooseConfig(keep=2),
    "best 3": ChooseConfig(keep=3),
    "all": ChooseConfig(keep=len(RECIPES)),
}


def main() -> int:
    """Print the pooled errors, and a table for each half."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=100, help="of each competition's set; default 100")
    parser.add_argument("--peers", help="the Python of an environment with the other series; one is made otherwise")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    others = [*half_hourly(), *series_of_others(given.peers or environment())]
    with threadpool_limits(1):
        pooled: Mapping[tuple[str, str], float] = {}
        for half in (TUNED, REPORTED):
            every = [one for yearly in (False, True) for one in competitions(given.series, yearly=yearly, half=half)]
            every += [one for one in others if one.half == half]
            if half == TUNED:
                pooled = _pooled(every)
                _print_pooled(pooled)
            _print_ways(half, pd.DataFrame(row for series in every for row in _rows(series, pooled)))
    return 0


def _pooled(every: Sequence[Series]) -> dict[tuple[str, str], float]:
    """By (cadence, recipe): the mean over sets of the mean logarithm of its MASE over the damped average's."""
    rows = []
    for series in every:
        past = _past(series)
        for recipe in RECIPES:
            model = past.fit(Configuration(recipes=(recipe,)))
            found = predict(model, series.ds[series.rows :]).yhat
            error = mase(series.y[series.rows :], found, past.y, series.season)
            rows.append((cadence_of(series.freq), series.group, series.name, recipe.name, np.log(error)))
    scores = pd.DataFrame(rows, columns=["cadence", "group", "name", "recipe", "log"])
    wide = scores.pivot_table(index=["cadence", "group", "name"], columns="recipe", values="log")
    wide = wide.replace([np.inf, -np.inf], np.nan).dropna()
    means = wide.sub(wide[OURS], axis=0).groupby(level=[0, 1]).mean().groupby(level=0).mean()
    return {(str(cadence), name): float(means.loc[cadence, name]) for cadence in means.index for name in means}


def _rows(series: Series, pooled: Mapping[tuple[str, str], float]) -> Iterator[dict[str, object]]:
    """What each way makes of a series. Fits are shared, so that only the first way's time is its own."""
    past, cadence = _past(series), cadence_of(series.freq)
    others = tuple(_with_pooled(recipe, cadence, pooled) for recipe in RECIPES[1:])
    for way, choosing in WAYS.items():
        config = _config(series, DAMPED_AVERAGE, choosing and choosing.model_copy(update={"among": others}))
        found = score(series, _ahead(series, past, config))
        yield {"group": series.group, "name": series.name, "cadence": cadence, "way": way, **vars(found)}


def _with_pooled(recipe: Recipe, cadence: Cadence, pooled: Mapping[tuple[str, str], float]) -> Recipe:
    pace = getattr(recipe, cadence).model_copy(update={"log_error": pooled.get((cadence, recipe.name), 0.0)})
    return recipe.model_copy(update={cadence: pace})


def _past(series: Series) -> Past:
    rows = slice(0, series.rows)
    frame = pd.DataFrame({"ds": series.ds[rows].view("M8[ns]"), "y": series.y[rows]})
    return Past.of(History(frame, series.freq))


def _config(series: Series, recipe: Recipe, choosing: ChooseConfig | None) -> JobConfig:
    h = series.horizon
    cutoffs = BacktestConfig(cutoffs=CUTOFFS, horizon=h, period=max(1, h // 2), min_train=max(2 * series.season, h, 2))
    source, choose_among = SourceConfig(path=Path("none")), choosing or ChooseConfig()
    return JobConfig(source=source, recipe=recipe, choose=choose_among, backtest=cutoffs)


def _ahead(series: Series, past: Past, config: JobConfig) -> Ahead:
    """The forecast of the rows held out by what training would have registered."""
    began = cpu_seconds()
    choice = choose(past, config)
    model = past.fit(choice.configuration)
    own_weight = max(recipe.own_weight for recipe in choice.configuration.recipes)
    model = replace(model, calibration=calibrate(model, own_weight, np.array(choice.backtest.ratios)))
    found = forecast(model, series.ds[series.rows :], interval_width=WIDTH)
    return Ahead(found.yhat, found.yhat_lower, found.yhat_upper, cpu_seconds() - began)


def _print_pooled(pooled: Mapping[tuple[str, str], float]) -> None:
    cadences = [cadence for cadence in get_args(Cadence) if (cadence, OURS) in pooled]
    lines = [[cadence, *(f"{pooled[cadence, recipe.name]:+.3f}" for recipe in RECIPES[1:])] for cadence in cadences]
    print("\n## log error against the damped average, on the half that recipes are tuned on\n")
    print(table(["cadence", *(recipe.name for recipe in RECIPES[1:])], lines))


def _print_ways(half: int, scores: pd.DataFrame) -> None:
    print(f"\n## {'tuned on' if half == TUNED else 'reported on'}: MASE against the damped average, %\n")
    lines = []
    for way in list(WAYS)[1:]:
        cells = []
        for cadence in get_args(Cadence):
            own = scores[scores["cadence"] == cadence]
            cells.append(_percent(own, way) if len(own) else "")
        sets = scores[scores["way"] == way].groupby("group")["coverage"].mean().mean()
        lines.append([way, *cells, _percent(scores, way), _percent(scores, way, "interval"), f"{100 * sets:.1f}"])
    print(table(["way", *get_args(Cadence), "all sets", "interval score", "coverage"], lines))


def _percent(scores: pd.DataFrame, way: str, measure: str = "mase") -> str:
    """The change of the mean over sets, with its 95 % interval."""
    return str(change(paired(scores, measure, way, OURS)))


if __name__ == "__main__":
    sys.exit(main())
