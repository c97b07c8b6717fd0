"""The dates of a forecast are those of Prophet.make_future_dataframe, or begin where they are told to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prophet import Prophet
from prophet.serialize import model_from_json, model_to_json

from forecasting.errors import ModelError
from forecasting.future import make_future
from forecasting.state import ForecastModel
from tests.unit.forecasting.drawn import Drawn

OFFSETS = st.sampled_from(
    [
        *("D", "2D", "h", "3h", "24h", "15min", "90s", "250ms", "W", "W-WED", "2W-SUN", "B", "3B", "bh", "SMS"),
        *("MS", "ME", "2MS", "BMS", "BME", "QS", "QS-FEB", "QE-NOV", "BQE", "YS", "YE", "YS-JUL", "2YE-MAR", "BYS"),
    ]
)
STARTS = st.datetimes(pd.Timestamp("1970-01-05"), pd.Timestamp("2120-01-01")).map(
    lambda date: date.replace(microsecond=0)
)
RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def _prophet(dates: pd.DatetimeIndex, y: Any = None) -> Prophet:
    model = Prophet(uncertainty_samples=0)
    model.stan_backend = Drawn(1, 1, 0.1)
    return model.fit(pd.DataFrame({"ds": dates, "y": np.arange(len(dates), dtype=float) if y is None else y}))


def _nanoseconds(dates: pd.Series[Any] | pd.DatetimeIndex) -> list[int]:
    return pd.DatetimeIndex(dates).as_unit("ns").asi8.tolist()


@RELAXED
@given(STARTS, OFFSETS, OFFSETS, st.integers(0, 40), st.booleans())
def test_the_dates_after_the_history_are_prophets(
    start: pd.Timestamp, freq: str, asked: str, periods: int, last_y_is_missing: bool
) -> None:
    """For any offset, whatever that of the history was, and also where the last date came without a y."""
    dates = pd.date_range(start, periods=8, freq=freq).as_unit("ns")
    y = np.arange(float(len(dates)))
    if last_y_is_missing:
        y[-1] = np.nan
    real = model_from_json(model_to_json(_prophet(dates, y)))
    wanted = real.make_future_dataframe(periods, freq=asked, include_history=False)["ds"]
    model = ForecastModel.from_json(model_to_json(real))
    assert make_future(model, periods, asked).tolist() == _nanoseconds(wanted)


@RELAXED
@given(st.sampled_from(["D", "h", "15min", "W-WED", "MS", "ME", "QS-FEB", "YS-JAN"]), st.integers(1, 40))
def test_without_a_frequency_the_historys_own_goes_on(freq: str, periods: int) -> None:
    """As it was inferred from the dates when the model was read."""
    dates = pd.date_range("2018-03-01", periods=80, freq=freq).as_unit("ns")
    model = ForecastModel.from_json(model_to_json(_prophet(dates[:40])))
    assert make_future(model, periods).tolist() == _nanoseconds(dates[40 : 40 + periods])


@RELAXED
@given(STARTS, OFFSETS, st.integers(0, 40))
def test_dates_from_a_start_are_pandas_own(start: pd.Timestamp, asked: str, periods: int) -> None:
    """The first so many dates of the offset that are not before it, before, inside or after the history."""
    model = ForecastModel.from_json(model_to_json(_prophet(pd.date_range("2020-01-01", periods=8).as_unit("ns"))))
    got = make_future(model, periods, asked, start)
    assert got.tolist() == _nanoseconds(pd.date_range(start, periods=periods, freq=asked))
    assert make_future(model, periods, asked, pd.Timestamp(start).as_unit("ns").value).tolist() == got.tolist()


def test_shared_dates_cannot_be_written_to() -> None:
    """Two segments that end on one day get one and the same array."""
    dates = pd.date_range("2020-01-01", periods=8).as_unit("ns")
    first, second = (ForecastModel.from_json(model_to_json(_prophet(dates))) for _ in range(2))
    assert make_future(first, 5) is make_future(second, 5)
    with pytest.raises(ValueError, match="read-only"):
        make_future(first, 5)[0] = 0


def test_what_cannot_be_dated_is_said() -> None:
    """An unknown frequency, a frequency that nobody knows, and dates beyond the calendar."""
    irregular = _prophet(pd.date_range("2020-01-01", periods=8).as_unit("ns"))
    known = ForecastModel.from_json(model_to_json(irregular))
    unknown = ForecastModel(**{**vars(known), "freq": None})
    with pytest.raises(ModelError, match="frequency"):
        make_future(unknown, 3)
    with pytest.raises(ValueError, match="junk"):
        make_future(known, 3, "junk")
    for periods, freq in ((10**6, "D"), (-3, "D"), (1000, "YS")):
        with pytest.raises(ValueError, match="calendar"):
            make_future(known, periods, freq)
