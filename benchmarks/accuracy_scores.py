"""How a way of forecasting does on one series: errors against what came, the interval's, and the processor's time."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.accuracy_series import Series
from forecasting.backtest import cutoff_rows, seasonal_naive
from forecasting.calibration import calibrate, interval_score, residual_ratios
from forecasting.errors import FitError
from forecasting.fit import SharedCalendar
from forecasting.forecast import forecast
from forecasting.metrics import coverage, mase, smape
from forecasting.recipe import DAMPED_AVERAGE, Cadence, Recipe
from forecasting.recipe_fit import fit_recipe
from forecasting.spec import ProphetSpec
from forecasting.state import ForecastModel

Floats = npt.NDArray[np.float64]
WIDTH = 0.8
CUTOFFS = 3


@dataclass(frozen=True, eq=False)
class Ahead:
    """A forecast of the rows held out, each (horizon,); bounds are None where there is no interval. cpu: seconds."""

    yhat: Floats
    lower: Floats | None
    upper: Floats | None
    cpu: float


@dataclass(frozen=True)
class Score:
    """coverage and interval: NaN without an interval; interval is the interval score in units of the MASE's scale.

    cpu: milliseconds.
    """

    mase: float
    smape: float
    coverage: float
    interval: float
    cpu: float


def score(series: Series, ahead: Ahead) -> Score:
    """Hold a forecast against what came."""
    past, actual = series.y[: series.rows], series.y[series.rows :]
    error = mase(actual, ahead.yhat, past, series.season)
    covered = width = np.nan
    if ahead.lower is not None and ahead.upper is not None:
        unit = mase(actual, actual + 1.0, past, series.season)
        covered = coverage(actual, ahead.lower, ahead.upper)
        width = interval_score(actual, ahead.lower, ahead.upper, WIDTH) * unit
    return Score(error, 100 * smape(actual, ahead.yhat), covered, width, 1000 * ahead.cpu)


def by_recipe(recipe: Recipe, *, cutoffs: int = CUTOFFS) -> Callable[[Series], Ahead | None]:
    """Forecast by a recipe whose intervals are calibrated by a backtest inside the history; None if it cannot fit."""

    def ahead(series: Series) -> Ahead | None:
        began = cpu_seconds()
        calendar = SharedCalendar.of(series.ds, ProphetSpec(), series.freq)
        model = fitted(calendar, recipe, series, series.rows)
        if model is None:
            return None
        calibration = calibrate(model, recipe.own_weight, backtest_ratios(calendar, recipe, series, cutoffs))
        found = forecast(replace(model, calibration=calibration), series.ds[series.rows :], interval_width=WIDTH)
        return Ahead(found.yhat, found.yhat_lower, found.yhat_upper, cpu_seconds() - began)

    return ahead


def fitted(calendar: SharedCalendar, recipe: Recipe, series: Series, rows: int) -> ForecastModel | None:
    """The recipe's model of the first rows, None where there is none."""
    (model,) = fit_recipe(calendar, recipe, series.y[None, :rows], rows=rows)
    return None if isinstance(model, FitError) else model


def backtest_ratios(calendar: SharedCalendar, recipe: Recipe, series: Series, cutoffs: int) -> Floats:
    """`residual_ratios` of forecasts from rolling cutoffs inside the history."""
    h, ratios = series.horizon, [np.empty(0)]
    if recipe.own_weight > 0.0:
        for end in cutoff_rows(series.rows, h, max(1, h // 2), max(2 * series.season, h), cutoffs):
            model = fitted(calendar, recipe, series, end)
            if model is not None:
                found = forecast(model, series.ds[end : end + h], interval_width=WIDTH)
                actual = series.y[end : end + h]
                ratios.append(residual_ratios(actual, found.yhat, found.yhat_lower, found.yhat_upper))
    return np.concatenate(ratios)


def naive(series: Series) -> Ahead:
    """Repeat the last season."""
    began, steps = cpu_seconds(), np.arange(series.rows, len(series.y))
    yhat = seasonal_naive(series.y[: series.rows], steps, series.season)
    return Ahead(yhat, None, None, cpu_seconds() - began)


def by_cmdstan(series: Series) -> Ahead:
    """Prophet as it comes."""
    from prophet import Prophet

    began = cpu_seconds()
    frame = pd.DataFrame({"ds": series.ds.view("M8[ns]"), "y": series.y})
    model = Prophet(interval_width=WIDTH).fit(frame[: series.rows])
    found = model.predict(frame[["ds"]][series.rows :])
    cpu = cpu_seconds() - began
    yhat, lower, upper = (found[name].to_numpy() for name in ("yhat", "yhat_lower", "yhat_upper"))
    return Ahead(yhat, lower, upper, cpu)


def cpu_seconds() -> float:
    """What this process and those that it started and that ended have used: cmdstan is one."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def variant(name: str = DAMPED_AVERAGE.name, **settings: object) -> Recipe:
    """The damped average with these settings at every cadence."""
    paces = {cadence: getattr(DAMPED_AVERAGE, cadence).model_copy(update=settings) for cadence in get_args(Cadence)}
    return DAMPED_AVERAGE.model_copy(update={"name": name, **paces})
