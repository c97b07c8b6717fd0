"""What a model needs of the rows to forecast, and the forecast it gives: the same for arrays and for a real Prophet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.forecast import forecast
from forecasting.future import make_future
from forecasting.intervals import Mode
from forecasting.state import ForecastModel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BOUNDS = ("cap", "floor")  # what logistic growth asks of rows; the other columns are the caller's to bring
_TOTALS = ("additive_terms", "multiplicative_terms", "extra_regressors_additive", "extra_regressors_multiplicative")


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to forecast. ds: (rows,) in nanoseconds; columns: by name, (rows,), whatever the model asks for."""

    ds: Integers
    columns: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Predicted:
    """A forecast, each array (rows,), in the unit of y; components: trend and every part that has a name of its own."""

    yhat: Floats
    yhat_lower: Floats
    yhat_upper: Floats
    components: Mapping[str, Floats]


class Predictor(Protocol):
    """A fitted model, ready to forecast."""

    @property
    def freq(self) -> str | None:
        """The offset alias of the history's grid, None where it is not known."""

    @property
    def trained_through(self) -> pd.Timestamp:
        """The last date of the history."""

    @property
    def interval_width(self) -> float:
        """The width of the interval where none is asked for."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that a caller has to bring: regressors and conditions."""

    @property
    def bounds(self) -> Mapping[str, float | None]:
        """The bounds that the rows must carry, with those of the history's last row."""

    def future(self, periods: int, freq: str, start: pd.Timestamp | None) -> Integers:
        """The dates after the history, or from start on. Raises ValueError."""

    def history(self) -> Rows:
        """The rows that the model was fitted to."""

    def predict(self, rows: Rows, interval_width: float | None, *, components: bool) -> Predicted:
        """Forecast the rows. Raises RowsError."""


@dataclass(frozen=True, eq=False)
class ArrayPredictor:
    """A ForecastModel; rows: gives the rows that it was fitted to, where somebody keeps them."""

    model: ForecastModel
    rows: Callable[[], Rows]
    mode: Mode = Mode.PROCESS

    @property
    def freq(self) -> str | None:
        return self.model.freq

    @property
    def trained_through(self) -> pd.Timestamp:
        return pd.Timestamp(self.model.history_end)

    @property
    def interval_width(self) -> float:
        return self.model.interval_width

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(name for name in self.model.required_columns if name not in BOUNDS)

    @property
    def bounds(self) -> Mapping[str, float | None]:
        last = {"cap": self.model.last_cap, "floor": self.model.last_floor}
        return {name: last[name] for name in self.model.required_columns if name in BOUNDS}

    def future(self, periods: int, freq: str, start: pd.Timestamp | None) -> Integers:
        return make_future(self.model, periods, freq, start)

    def history(self) -> Rows:
        return self.rows()

    def predict(self, rows: Rows, interval_width: float | None, *, components: bool) -> Predicted:
        found = forecast(
            self.model, rows.ds, rows.columns, interval_width=interval_width, components=components, mode=self.mode
        )
        parts = {name: values for name, values in found.components.items() if name not in _TOTALS}
        return Predicted(found.yhat, found.yhat_lower, found.yhat_upper, {"trend": found.trend, **parts})
