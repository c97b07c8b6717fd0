"""Forecasts from within a history, as they would have been made then: by arrays, or by Prophet with cmdstan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import pandas as pd

from forecasting import prophet_model
from forecasting.errors import FitError
from forecasting.fit import SharedCalendar
from forecasting.forecast import Forecast, forecast
from forecasting.history import History
from forecasting.recipe import Recipe
from forecasting.recipe_fit import fit_recipe
from forecasting.spec import ProphetSpec
from forecasting.state import ForecastModel


class Hindsight(Protocol):
    """Forecasts of one history."""

    def __call__(self, end: int, horizon: int) -> pd.DataFrame:
        """Fit the rows before end, forecast the next horizon rows: yhat, yhat_lower, yhat_upper. Raises FitError."""


Forecaster = Callable[[History, ProphetSpec], Hindsight]


def by_recipe(recipe: Recipe) -> Forecaster:
    """Fits by a recipe, with the exact solver; the calendar of all cutoffs is laid out once."""

    def of(history: History, spec: ProphetSpec) -> Hindsight:
        frame = with_bounds(history, spec)
        ds, columns = _dates(frame), _columns(frame)
        calendar = SharedCalendar.of(ds, spec, history.freq)

        def ahead(end: int, horizon: int) -> pd.DataFrame:
            past = {name: values[:end] for name, values in columns.items()}
            [model] = fit_recipe(calendar, recipe, past.pop("y")[None, :], past, rows=end)
            if isinstance(model, FitError):
                raise model
            return _forecast(model, frame.iloc[end : end + horizon])

        return ahead

    return of


def by_cmdstan(history: History, spec: ProphetSpec) -> Hindsight:
    """Fits by Prophet with cmdstan; the forecast is by arrays all the same, because that is what serves."""
    frame = with_bounds(history, spec)

    def ahead(end: int, horizon: int) -> pd.DataFrame:
        fitted = prophet_model.fit(History(history.frame.iloc[:end], history.freq), spec, "cmdstan")
        model = ForecastModel.from_json(prophet_model.to_json(fitted), freq=history.freq)
        return _forecast(model, frame.iloc[end : end + horizon])

    return ahead


def _forecast(model: ForecastModel, rows: pd.DataFrame) -> pd.DataFrame:
    """Forecast rows, whose y the model never sees."""
    found: Forecast = forecast(model, _dates(rows), _columns(rows.drop(columns="y")))
    return pd.DataFrame({"yhat": found.yhat, "yhat_lower": found.yhat_lower, "yhat_upper": found.yhat_upper})


def with_bounds(history: History, spec: ProphetSpec) -> pd.DataFrame:
    """The history's frame with the constant bounds of the spec where it has none of its own."""
    return prophet_model.with_bounds(history.frame, growth=spec.growth, cap=spec.cap, floor=spec.floor)


def _dates(frame: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return pd.DatetimeIndex(frame["ds"]).as_unit("ns").asi8


def _columns(frame: pd.DataFrame) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    return {name: frame[name].to_numpy(dtype=np.float64) for name in frame.columns if name != "ds"}
