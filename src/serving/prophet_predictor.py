"""The real Prophet behind the same door as arrays: for models that arrays cannot express."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from prophet import Prophet

from forecasting import prophet_model
from forecasting.calendar import dates_from, future_dates, infer_frequency
from serving.predictors import BOUNDS, Integers, Predicted, Rows


@dataclass(frozen=True, eq=False)
class ProphetPredictor:
    """A fitted Prophet. identity tells it from every other: with the rows asked for it seeds Prophet's sampling, so
    that the same question to the same model has one answer.
    """

    prophet: Prophet
    identity: str

    @cached_property
    def freq(self) -> str | None:
        return infer_frequency(self._dates) if len(self._dates) > 1 else None

    @property
    def trained_through(self) -> pd.Timestamp:
        return pd.Timestamp(self._dates[-1])

    @property
    def interval_width(self) -> float:
        return float(self.prophet.interval_width)

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(name for name in prophet_model.required_columns(self.prophet) if name not in BOUNDS)

    @cached_property
    def bounds(self) -> Mapping[str, float | None]:
        last = prophet_model.history_rows(self.prophet).iloc[-1]
        return {name: float(last[name]) for name in prophet_model.required_columns(self.prophet) if name in BOUNDS}

    def future(self, periods: int, freq: str, start: pd.Timestamp | None) -> Integers:
        dates = future_dates(self._dates[-1], periods, freq) if start is None else dates_from(start, periods, freq)
        return np.asarray(dates.as_unit("ns").asi8)

    def history(self) -> Rows:
        frame = prophet_model.history_rows(self.prophet)
        dates = pd.DatetimeIndex(frame["ds"]).as_unit("ns").asi8
        return Rows(dates, {name: frame[name].to_numpy(dtype=np.float64) for name in frame.columns if name != "ds"})

    def predict(self, rows: Rows, interval_width: float | None, *, components: bool) -> Predicted:
        frame = pd.DataFrame({"ds": rows.ds.view("M8[ns]"), **rows.columns})
        found = prophet_model.predict(
            self.prophet, frame, interval_width=interval_width, seed=self._seed(frame, interval_width)
        )
        names = prophet_model.component_columns(self.prophet) if components else ()
        values = {name: found[name].to_numpy(dtype=np.float64) for name in ("yhat", "yhat_lower", "yhat_upper", *names)}
        return Predicted(
            values["yhat"], values["yhat_lower"], values["yhat_upper"], {name: values[name] for name in names}
        )

    @cached_property
    def _dates(self) -> pd.DatetimeIndex:
        return prophet_model.history_dates(self.prophet)

    def _seed(self, frame: pd.DataFrame, interval_width: float | None) -> int:
        text = f"{self.identity}|{interval_width}|{pd.util.hash_pandas_object(frame).sum()}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
