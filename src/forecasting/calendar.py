"""The grid that a series lies on: which frequency its dates have, and which dates come next.

Dates are naive; frequencies are pandas offset aliases such as "D", "MS" or "15min".
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries.frequencies import to_offset

_DAY = 86_400 * 10**9  # in nanoseconds, like every integer date in this module
_MOSTLY = 0.8  # the share of gaps that makes one gap the rule and the others exceptions
_RAREST = 50  # a grid on which only one point in so many is taken is no grid
_USUAL_STEPS = ("1s", "10s", "1min", "5min", "15min", "30min", "1h", "3h", "6h", "12h", "24h")
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

Integers = npt.NDArray[np.int64]


def infer_frequency(ds: pd.DatetimeIndex) -> str:
    """The frequency of ascending, unique, naive dates, missing ones allowed.

    A step that four gaps in five share is the frequency, else the coarsest grid that holds every date.
    Raises ValueError for fewer than two dates.
    """
    if len(ds) < 2:
        raise ValueError("a frequency needs at least two dates")
    stamps = ds.as_unit("ns").asi8
    gaps = np.diff(stamps)
    if np.any(gaps % _DAY):
        return _subdaily(gaps)
    return _monthly(stamps) or _daily(stamps, gaps // _DAY)


def is_subdaily(freq: str) -> bool:
    """Whether a step of this frequency is shorter than a day."""
    return mean_step(freq) < 1.0


def season_length(freq: str) -> int:
    """Rows in the season that a seasonal-naive forecast repeats; 1 where there is none.

    The season is a day for steps below a day, a week for steps below a week, else a year of 365.25 days.
    """
    step = mean_step(freq)
    season = 1.0 if step < 1 else 7.0 if step < 7 else 365.25
    return max(1, round(season / step))


def dates_from(start: pd.Timestamp, periods: int, freq: str) -> pd.DatetimeIndex:
    """The first `periods` dates of the frequency that are not before `start`, in nanoseconds.

    Raises ValueError for an unknown frequency and for dates that pandas cannot express.
    """
    offset = offset_of(freq)
    try:
        return pd.date_range(start.as_unit("ns"), periods=periods, freq=offset, unit="ns")
    except (OverflowError, ValueError) as error:
        raise ValueError(f"the calendar cannot hold {periods} dates of frequency {freq!r} from {start} on") from error


def future_dates(after: pd.Timestamp, periods: int, freq: str) -> pd.DatetimeIndex:
    """The first `periods` dates of the frequency that are strictly after `after`, in nanoseconds.

    The same dates as Prophet's make_future_dataframe; raises as `dates_from` does.
    """
    dates = dates_from(after, periods + 1, freq)
    skipped = int(len(dates) > 0 and dates[0] == after)
    return dates[skipped : skipped + periods]


def off_the_grid(ds: pd.DatetimeIndex, freq: str) -> tuple[int, int]:
    """How many dates the grid from the first to the last of ds lacks, and how many of ds lie beside it."""
    stamps = ds.as_unit("ns").asi8
    step = _fixed_step(offset_of(freq))
    if step is None:
        grid = pd.date_range(ds[0], ds[-1], freq=offset_of(freq), unit="ns").asi8
        beside = int(np.count_nonzero(~np.isin(stamps, grid)))
        return len(grid) - (len(stamps) - beside), beside
    beside = int(np.count_nonzero((stamps - stamps[0]) % step))
    return int((stamps[-1] - stamps[0]) // step) + 1 - (len(stamps) - beside), beside


def grid_positions(ds: pd.DatetimeIndex, freq: str) -> Integers:
    """Which step of the grid from the first of ds each date stands on, the last step before it if beside the grid."""
    stamps = ds.as_unit("ns").asi8
    step = _fixed_step(offset_of(freq))
    if step is not None:
        return np.asarray((stamps - stamps[0]) // step)
    grid = pd.date_range(ds[0], ds[-1], freq=offset_of(freq), unit="ns").asi8
    return np.maximum(np.searchsorted(grid, stamps, side="right") - 1, 0).astype(np.int64)


@lru_cache(maxsize=256)
def offset_of(freq: str) -> Any:
    """The pandas offset of an alias; raises ValueError naming it if it is unknown or does not go forward."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a deprecated spelling still says clearly what is meant
            offset = to_offset(freq)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{freq!r} is not a frequency; 'D', 'h', 'MS' and '15min' are") from error
    if offset.n < 1:
        raise ValueError(f"the frequency {freq!r} does not step forward")
    return offset


@lru_cache(maxsize=256)
def mean_step(freq: str) -> float:
    """The average length of a step in days, over the first twenty steps after 2001-01-01."""
    offset = offset_of(freq)
    try:
        start = pd.Timestamp("2001-01-01") + offset
        return float((start + offset * 20 - start) / pd.Timedelta(days=20))
    except OverflowError:
        return float("inf")


def _fixed_step(offset: Any) -> int | None:
    """The nanoseconds of a step that is always equally long, None for the calendar's steps."""
    if isinstance(offset, pd.offsets.Day):
        return int(offset.n) * _DAY
    return int(offset.nanos) if isinstance(offset, pd.offsets.Tick) else None


def _subdaily(gaps: Integers) -> str:
    """The frequency of gaps in nanoseconds that are not all whole days."""
    step, median = _rule(gaps), float(np.median(gaps))
    if median > _RAREST * step:
        usual = np.array([pd.Timedelta(text).value for text in _USUAL_STEPS])
        step = int(usual[np.argmin(np.abs(np.log(usual / median)))])
    return _alias(pd.Timedelta(step, "ns"))


def _daily(stamps: Integers, gaps: Integers) -> str:
    """The frequency of dates whose gaps, in days, are whole and not a calendar's months."""
    step = _rule(gaps)
    weekdays = (stamps // _DAY + 3) % 7  # 1970-01-01 was a Thursday
    if step % 7 == 0:
        return _alias(f"{step // 7}W-{_WEEKDAYS[np.bincount(weekdays).argmax()]}")
    over_a_weekend = np.any(weekdays[1:] < weekdays[:-1])
    if step == 1 and len(stamps) >= 5 and over_a_weekend and weekdays.max() < 5:
        return "B"
    return _alias(f"{step}D")


def _monthly(stamps: Integers) -> str | None:
    """The frequency of dates that share a place in their months, None if they do not."""
    days = stamps.view("datetime64[ns]").astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    steps = np.diff(months.astype(np.int64))
    if not np.all(steps):
        return None
    step, month = int(np.gcd.reduce(steps)), int(months[0].astype(np.int64)) % 12
    in_month = (days - months.astype("datetime64[D]")).astype(np.int64)
    if np.all((days + 1).astype("datetime64[M]") == months + 1):
        return _month_alias(step, month, "E")
    if not np.any(in_month) or (len(days) > 2 and np.all(in_month == in_month[0])):
        return _month_alias(step, month, "S")
    if len(days) > 2 and np.array_equal(days, np.busday_offset(months, 0, roll="forward")):
        return _alias(f"{step}BMS")
    if len(days) > 2 and np.array_equal(days, np.busday_offset(months + 1, -1, roll="forward")):
        return _alias(f"{step}BME")
    return None


def _month_alias(step: int, month: int, edge: str) -> str:
    """The alias for every `step` months at their start ("S") or end ("E"), one of them `month` (0 to 11)."""
    if step % 12 == 0:
        return _alias(f"{step // 12}Y{edge}-{_MONTHS[month]}")
    if step == 3:
        return _alias(f"Q{edge}-{_MONTHS[month % 3]}")
    return _alias(f"{step}M{edge}")


def _rule(gaps: Integers) -> int:
    """The gap that most gaps share, else their greatest common divisor."""
    values, counts = np.unique(gaps, return_counts=True)
    most = int(counts.argmax())
    return int(values[most] if counts[most] >= _MOSTLY * len(gaps) else np.gcd.reduce(values))


def _alias(freq: str | pd.Timedelta) -> str:
    return str(to_offset(freq).freqstr)
