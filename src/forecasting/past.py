"""Forecasts from within a history, as they would have been made then: by arrays, or by Prophet with cmdstan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.configuration import Configuration
from forecasting.errors import FitError
from forecasting.fit import Outcome, SharedCalendar
from forecasting.forecast import forecast
from forecasting.history import History
from forecasting.recipe import Recipe
from forecasting.recipe_fit import average_of, fit_recipe
from forecasting.spec import ProphetSpec
from forecasting.state import ForecastModel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Ahead(NamedTuple):
    """A forecast of some rows with its interval, each (rows,), in the unit of y."""

    yhat: Floats
    lower: Floats
    upper: Floats


class Hindsight(Protocol):
    """Forecasts of one history."""

    def __call__(self, end: int, horizon: int) -> Ahead:
        """Fit the rows before end, forecast the next horizon rows. Raises FitError."""


@dataclass(frozen=True, eq=False)
class Past:
    """A history as arrays, laid out once for every fit to it.

    ds: (T,) nanoseconds; y: (T,), in its own unit; columns: the others by name, (T,) each. Fits are kept: averages
    are made of what was measured alone before.
    """

    history: History
    ds: Integers
    y: Floats
    columns: Mapping[str, Floats]
    _fits: dict[tuple[ProphetSpec, Recipe, int], Outcome] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, history: History) -> Self:
        """Take the arrays out of the frame."""
        frame = history.frame
        columns = {name: frame[name].to_numpy(dtype=np.float64) for name in frame.columns if name != "ds"}
        return cls(history, pd.DatetimeIndex(frame["ds"]).as_unit("ns").asi8, columns.pop("y"), columns)

    def calendar(self, spec: ProphetSpec) -> SharedCalendar:
        """The dates for fits as a spec says; what follows from them is laid out once for all fits."""
        return replace(_calendar(self.ds.tobytes(), self.history.freq), spec=spec)

    def given(self, spec: ProphetSpec) -> Mapping[str, Floats]:
        """The columns, with the constant bounds of a spec where the history has none of its own."""
        bounds = {"cap": spec.cap, "floor": spec.floor} if spec.growth == "logistic" else {}
        constant = {name: np.full(len(self.y), bound) for name, bound in bounds.items() if bound is not None}
        return {**constant, **self.columns}

    def fit(self, configuration: Configuration, rows: int | None = None) -> ForecastModel:
        """The model of the first rows, all by default, with the exact solver. Raises FitError."""
        end = len(self.y) if rows is None else rows
        outcome = average_of([self._fit(configuration.model, recipe, end) for recipe in configuration.recipes])
        if isinstance(outcome, FitError):
            raise outcome
        return outcome

    def _fit(self, spec: ProphetSpec, recipe: Recipe, end: int) -> Outcome:
        key = (spec, recipe, end)
        if key not in self._fits:
            given = {name: values[:end] for name, values in self.given(spec).items()}
            [self._fits[key]] = fit_recipe(self.calendar(spec), recipe, self.y[None, :end], given, rows=end)
        return self._fits[key]


@lru_cache(maxsize=1)
def _calendar(stamps: bytes, freq: str) -> SharedCalendar:
    """The dates, kept for the next segment, which often has the same."""
    return SharedCalendar.of(np.frombuffer(stamps, dtype=np.int64), ProphetSpec(), freq)


def hindsight(past: Past, configuration: Configuration) -> Hindsight:
    """What models of a configuration would have forecast."""
    return _by_cmdstan(past, configuration) if configuration.solver == "cmdstan" else _exactly(past, configuration)


def _exactly(past: Past, configuration: Configuration) -> Hindsight:
    columns = past.given(configuration.model)

    def ahead(end: int, horizon: int) -> Ahead:
        return _forecast(past.fit(configuration, end), past, columns, slice(end, end + horizon))

    return ahead


def _by_cmdstan(past: Past, configuration: Configuration) -> Hindsight:
    """Fits by Prophet with cmdstan; the forecast is by arrays all the same, because that is what serves."""
    from forecasting import (
        prophet_model,  # here: whoever fits exactly never needs Prophet, which takes a second to load
    )

    history, columns = past.history, past.given(configuration.model)

    def ahead(end: int, horizon: int) -> Ahead:
        known = History(history.frame.iloc[:end], history.freq)
        fitted = prophet_model.fit(known, configuration.model, "cmdstan")
        model = ForecastModel.from_json(prophet_model.to_json(fitted), freq=history.freq)
        return _forecast(model, past, columns, slice(end, end + horizon))

    return ahead


def _forecast(model: ForecastModel, past: Past, columns: Mapping[str, Floats], rows: slice) -> Ahead:
    """Forecast rows, whose y the model never sees."""
    found = forecast(model, past.ds[rows], {name: values[rows] for name, values in columns.items()})
    return Ahead(found.yhat, found.yhat_lower, found.yhat_upper)
