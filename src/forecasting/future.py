"""The dates that a forecast is asked for when only a number of periods is given."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.calendar import dates_from, future_dates, offset_of
from forecasting.errors import ModelError
from forecasting.features import NANOSECONDS_A_DAY
from forecasting.state import ForecastModel

Integers = npt.NDArray[np.int64]
_LAST = np.iinfo(np.int64).max


def make_future(
    model: ForecastModel, periods: int, freq: str | None = None, start: int | pd.Timestamp | None = None
) -> Integers:
    """The dates of the next `periods` rows in nanoseconds: those of Prophet.make_future_dataframe.

    freq: any pandas offset alias, by default the history's. start: the earliest date that may be among them; by
    default they begin after the last date that the history named. The array is shared: it cannot be written to.
    Raises ModelError where the history's frequency is not known, ValueError for an unknown frequency and for dates
    that pandas cannot express.
    """
    chosen = freq or model.freq
    if chosen is None:
        raise ModelError("the frequency of this model's history is not known: name one")
    if start is not None:
        return _dates(pd.Timestamp(start).as_unit("ns").value, periods, chosen, True)
    return _dates(model.history_end if model.last_date is None else model.last_date, periods, chosen, False)


def dates_after(last: int, periods: int, freq: str) -> Integers:
    """`make_future` for a history whose last date, in nanoseconds, is all that is known."""
    return _dates(last, periods, freq, False)


@lru_cache(maxsize=4096)  # segments of one job end on the same date, and dates of months take pandas a while
def _dates(origin: int, periods: int, freq: str, included: bool) -> Integers:
    step = _fixed_step(freq)
    first = origin if included else origin + (step or 0)
    if step is not None and periods > 0 and first + step * (periods - 1) <= _LAST:
        dates = first + step * np.arange(periods, dtype=np.int64)
    else:
        following = dates_from if included else future_dates
        dates = following(pd.Timestamp(origin), periods, freq).as_unit("ns").asi8.copy()
    dates.flags.writeable = False
    return dates


@lru_cache(maxsize=256)
def _fixed_step(freq: str) -> int | None:
    """The nanoseconds of a step that is always equally long and starts anywhere; None for the calendar's steps."""
    offset = offset_of(freq)
    if isinstance(offset, pd.offsets.Day):
        return int(offset.n) * NANOSECONDS_A_DAY
    return int(offset.nanos) if isinstance(offset, pd.offsets.Tick) else None
