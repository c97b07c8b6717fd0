"""How the constants of the damped average were chosen: on the half of the series that benchmarks/accuracy leaves out.

`python -m benchmarks.accuracy_tuning [--series N] [--peers PYTHON]`. For every cadence, the change of mean MASE
against stock Prophet (exact), in percent, mean over the sets, by damping phi (rows) and level shift rho (columns), and
the half-width factor that lets 80 % of what came in. PYTHON has requirements/peers.txt installed; without it the
environment of benchmarks/accuracy is used.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from itertools import product
from typing import get_args

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.accuracy_peers import environment
from benchmarks.accuracy_scores import CUTOFFS, WIDTH, backtest_ratios, fitted, variant
from benchmarks.accuracy_series import TUNED, Series, competitions, half_hourly, series_of_others
from benchmarks.frame import table
from forecasting.calibration import residual_ratios
from forecasting.fit import SharedCalendar
from forecasting.forecast import forecast
from forecasting.metrics import mase
from forecasting.predict import predict
from forecasting.recipe import STOCK, Cadence, cadence_of
from forecasting.spec import ProphetSpec

PHIS, RHOS = (1.0, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.5), (0.0, 0.25, 0.5, 0.7, 1.0)


def main() -> int:
    """Print a table for each cadence that there are series of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=60, help="of each competition's set; default 60")
    parser.add_argument("--peers", help="the Python of an environment with the other series; one is made otherwise")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    every = [
        *competitions(given.series, half=TUNED),
        *competitions(given.series, yearly=True, half=TUNED),
        *half_hourly(),
        *series_of_others(given.peers or environment()),
    ]
    with threadpool_limits(1):
        for cadence in get_args(Cadence):
            own = [one for one in every if one.half == TUNED and cadence_of(one.freq) == cadence]
            if own:
                _print(cadence, own)
    return 0


def _print(cadence: Cadence, every: Sequence[Series]) -> None:
    changes = _changes(every)
    lines = [[f"{phi:g}", *(f"{changes[phi, rho]:+.1f}" for rho in RHOS)] for phi in PHIS]
    print(f"\n## {cadence}: {len(every)} series, width {_width(every):.2f}\n")
    print(table(["phi", *(f"rho {rho:g}" for rho in RHOS)], lines))


def _changes(every: Sequence[Series]) -> pd.Series[float]:
    """By (phi, rho), the percent of mean MASE that is gained or lost against stock, mean over the sets."""
    recipes = {(phi, rho): variant(phi=phi, rho=rho) for phi, rho in product(PHIS, RHOS)}
    rows = []
    for series in every:
        calendar = SharedCalendar.of(series.ds, ProphetSpec(), series.freq)
        past, actual, ahead = series.y[: series.rows], series.y[series.rows :], series.ds[series.rows :]
        for key, recipe in {"stock": STOCK, **recipes}.items():
            model = fitted(calendar, recipe, series, series.rows)
            error = np.nan if model is None else mase(actual, predict(model, ahead).yhat, past, series.season)
            rows.append((series.group, key, error))
    wide = pd.DataFrame(rows, columns=["group", "key", "mase"]).pivot_table(index="group", columns="key", values="mase")
    changes: pd.Series[float] = (100.0 * (wide.div(wide["stock"], axis=0) - 1.0)).mean()
    return changes


def _width(every: Sequence[Series]) -> float:
    """The pooled width with which intervals, half corrected by each series's own backtest, hold WIDTH of what came.

    With r = |error| / half-width before any correction and the series's own factor c, the interval holds r when
    r <= sqrt(c width): the width is the square of that quantile of r / sqrt(c). Sets weigh the same.
    """
    recipe = variant(width=1.0)
    ratios, weights = [np.empty(0)], [np.empty(0)]
    sizes = pd.Series([series.group for series in every]).value_counts()
    for series in every:
        calendar = SharedCalendar.of(series.ds, ProphetSpec(), series.freq)
        model, own = fitted(calendar, recipe, series, series.rows), backtest_ratios(calendar, recipe, series, CUTOFFS)
        if model is not None and len(own):
            found = forecast(model, series.ds[series.rows :], interval_width=WIDTH)
            ratio = residual_ratios(series.y[series.rows :], found.yhat, found.yhat_lower, found.yhat_upper)
            ratios.append(ratio / np.sqrt(np.clip(np.quantile(own, WIDTH), 0.1, 10.0)))
            weights.append(np.full(len(ratio), 1.0 / (len(ratio) * sizes[series.group])))
    ratio, weight = np.concatenate(ratios), np.concatenate(weights)
    order = np.argsort(ratio)
    share = np.cumsum(weight[order]) / weight.sum()
    return float(ratio[order][np.searchsorted(share, WIDTH)] ** 2)


if __name__ == "__main__":
    sys.exit(main())
