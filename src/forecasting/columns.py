"""Columns of a table as dates and as numbers, with the rows that are neither.

Each reader converts the whole column at once and looks for the culprits only when that fails.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Positions = npt.NDArray[np.intp]
_NOW = {"now", "today"}  # pandas reads these as the present moment: a history never means them
_OTHER_FORMATS = ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d")


def _no_positions() -> Positions:
    return np.array([], dtype=np.intp)


@dataclass(frozen=True)
class Dates:
    """A column read as naive dates in nanoseconds; NaT where it is missing or at fault.

    bad: positions that are no date; mixed: positions without a time zone in a column that has some;
    notes: what was converted, as sentences without the column's name.
    """

    values: pd.DatetimeIndex
    bad: Positions = field(default_factory=_no_positions)
    mixed: Positions = field(default_factory=_no_positions)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Numbers:
    """A column read as float64; NaN where it is missing or at fault. bad: positions that are no number."""

    values: npt.NDArray[np.float64]
    bad: Positions = field(default_factory=_no_positions)


def read_dates(column: pd.Series[Any]) -> Dates:
    """Read dates of any type pandas has, or as ISO 8601 text, YYYYMMDD or a year.

    Dates with a time zone become UTC without one. Slashed or dotted dates are read only if the whole column
    can be read in one way; day and month are never guessed.
    """
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        column = _without_numbers(column)
    try:
        parsed = pd.DatetimeIndex(pd.to_datetime(column, format="ISO8601"))
        if parsed.dtype.kind == "M" and not _says_now(column):
            return _naive(parsed)
    except (ValueError, TypeError, OverflowError):
        pass
    return _read_in_one_format(column) or _read_one_by_one(column)


def read_numbers(column: pd.Series[Any]) -> Numbers:
    """Read numbers of any type or their text; None, NaN and empty text are missing, truth values no numbers."""
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
        return Numbers(np.full(len(column), np.nan), np.flatnonzero(column.notna()))
    if pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c":
        return Numbers(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if pd.api.types.infer_dtype(column, skipna=True) in {"string", "decimal", "floating", "integer", "empty"}:
        try:
            return Numbers(pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan))
        except (ValueError, TypeError, OverflowError):
            pass
    return _read_numbers_one_by_one(column)


def _naive(parsed: pd.DatetimeIndex, notes: tuple[str, ...] = ()) -> Dates:
    """Drop the time zone, after going to UTC, and settle the unit; dates out of its bounds are bad."""
    if parsed.tz is not None:
        notes = (*notes, f"dates were converted from {parsed.tz} to UTC")
        parsed = parsed.tz_convert("UTC").tz_localize(None)
    try:
        return Dates(parsed.as_unit("ns"), notes=notes)
    except (ValueError, OverflowError):
        outside = (parsed < pd.Timestamp.min) | (parsed > pd.Timestamp.max)
        inside = pd.DatetimeIndex(parsed.where(~outside)).as_unit("ns")
        return Dates(inside, bad=np.flatnonzero(outside), notes=notes)


def _without_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    """Write numbers as text, because pandas would count them from 1970: 2024 and 20240131 are dates."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in {"string", "datetime", "datetime64", "date", "empty"}:
        return column
    return pd.Series([_as_date_or_text(value) for value in column], index=column.index, dtype=object)


def _as_date_or_text(value: Any) -> Any:
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)) or value is pd.NA:
        return None
    if isinstance(value, (str, dt.date)):
        return value
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        is_year_or_day = (1000 <= value <= 9999 or 10000101 <= value <= 99991231) and value % 1 == 0
        return str(int(value)) if is_year_or_day else "a number that is no date"
    return "a thing that is no date"


def _says_now(column: pd.Series[Any]) -> bool:
    return column.dtype.kind != "M" and not _NOW.isdisjoint(column)


def _read_in_one_format(column: pd.Series[Any]) -> Dates | None:
    """Read a column of text by the one format that fits all of it; None if none or more than one does."""
    if pd.api.types.infer_dtype(column, skipna=True) != "string":
        return None
    found: list[tuple[str, pd.DatetimeIndex]] = []
    for form in _OTHER_FORMATS:
        try:
            found.append((form, pd.DatetimeIndex(pd.to_datetime(column, format=form))))
        except (ValueError, OverflowError):
            continue
    if not found or any(not parsed.equals(found[0][1]) for _, parsed in found):
        return None
    return _naive(found[0][1], (f"dates were read as {found[0][0]}",))


def _read_one_by_one(column: pd.Series[Any]) -> Dates:
    """Find the values that keep a column from being read, and read the others."""
    stamps = [_stamp(value) for value in column]
    bad = np.array([i for i, stamp in enumerate(stamps) if stamp is None], dtype=np.intp)
    naive = [i for i, stamp in enumerate(stamps) if isinstance(stamp, pd.Timestamp) and stamp.tz is None]
    aware = [i for i, stamp in enumerate(stamps) if isinstance(stamp, pd.Timestamp) and stamp.tz is not None]
    mixed = np.array(naive if aware else [], dtype=np.intp)
    utc = [pd.NaT if stamp is None or stamp is pd.NaT else _in_utc(stamp) for stamp in stamps]
    read = _naive(pd.DatetimeIndex(utc))
    notes = ("dates were converted from several time zones to UTC",) if aware else ()
    return Dates(read.values, np.union1d(bad, read.bad), mixed, notes)


def _stamp(value: Any) -> Any:
    """A Timestamp, NaT for a missing value, None for what is no date."""
    if isinstance(value, str) and value in _NOW:
        return None
    try:
        return pd.to_datetime(pd.Series([value], dtype=object), format="ISO8601").iloc[0]
    except (ValueError, TypeError, OverflowError):
        return None


def _in_utc(stamp: pd.Timestamp) -> pd.Timestamp:
    return stamp if stamp.tz is None else stamp.tz_convert("UTC").tz_localize(None)


def _read_numbers_one_by_one(column: pd.Series[Any]) -> Numbers:
    values, bad = np.full(len(column), np.nan), []
    for position, value in enumerate(column):
        try:
            values[position] = _number(value)
        except (ValueError, TypeError, OverflowError):
            bad.append(position)
    return Numbers(values, np.array(bad, dtype=np.intp))


def _number(value: Any) -> float:
    if value is None or value is pd.NA or value is pd.NaT:
        return float("nan")
    if isinstance(value, (bool, np.bool_, dt.date)):
        raise ValueError("not a number")
    if isinstance(value, str) and "_" in value:  # Python's own grouping, which no other program reads
        raise ValueError("not a number")
    return float("nan") if isinstance(value, str) and not value.strip() else float(value)
