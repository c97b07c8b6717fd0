"""A segment's history, checked: what Prophet may be fitted to, or every reason why not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.calendar import infer_frequency, off_the_grid
from forecasting.columns import Dates, Numbers, read_dates, read_numbers
from forecasting.errors import Fault, HistoryError

__all__ = ["DuplicatePolicy", "Fault", "History", "check_history"]

DuplicatePolicy = Literal["error", "sum", "mean", "last"]
Mask = npt.NDArray[np.bool_]
_SHOWN = 5  # rows and values that a fault names; the rest are counted
_LONGEST_VALUE = 40


@dataclass(frozen=True)
class History:
    """A checked history.

    frame: ds (datetime64[ns], naive, ascending, unique), y (float64), then the extra columns (float64, no gaps).
    freq: the frequency of ds as a pandas offset alias. notes: what was converted, left out or is odd.
    """

    frame: pd.DataFrame
    freq: str
    notes: tuple[str, ...] = ()

    @property
    def trained_through(self) -> pd.Timestamp:
        """The last date."""
        return pd.Timestamp(self.frame["ds"].iloc[-1])

    @cached_property
    def digest(self) -> str:
        """32 hex digits that are the same for the same columns, dates and numbers."""
        content = hashlib.sha256("\x00".join(self.frame.columns).encode())
        for name in self.frame.columns:
            values = self.frame[name].to_numpy()
            content.update(values.astype("<i8" if name == "ds" else "<f8").tobytes())
        return content.hexdigest()[:32]


def check_history(
    frame: pd.DataFrame,
    *,
    duplicates: DuplicatePolicy = "error",
    sort: bool = True,
    freq: str | None = None,
    extra_columns: Sequence[str] = (),
    row_numbers: Sequence[int] | npt.NDArray[np.int64] | None = None,
    column_names: Mapping[str, str] | None = None,
) -> History:
    """Check a table with the columns ds, y and extra_columns, in any order and of any readable type.

    A row without a y is a missing observation, as in Prophet, and is left out with a note. duplicates says what
    happens to the y of rows that share a date; the extra columns take the last value, or their mean for "mean".
    sort=False makes unsorted dates a fault. freq is inferred when not given. row_numbers are the numbers by
    which faults name the rows, for a table cut out of a larger one, by default the positions; column_names are the
    names by which they call columns that were renamed.
    Raises HistoryError with every fault found, ValueError when freq is not a frequency.
    """
    names = ["y", *extra_columns]
    findings = _Findings(frame, row_numbers, column_names or {})
    findings.missing_columns(["ds", *names])
    dates = read_dates(frame["ds"])
    numbers = {name: read_numbers(frame[name]) for name in names}
    present = _present(numbers["y"])
    findings.bad_dates(dates, present)
    findings.bad_numbers(numbers, present)
    findings.bad_bounds(numbers, present)
    findings.bad_order(dates.values, present & dates.values.notna(), sort=sort, duplicates=duplicates)
    findings.raise_any()

    values = {name: numbers[name].values[present] for name in names}
    table = pd.DataFrame({"ds": dates.values[present], **values})
    if not table["ds"].is_monotonic_increasing:
        table = table.sort_values("ds", kind="stable")
    merged = _merge_duplicates(table, duplicates).reset_index(drop=True)
    index = pd.DatetimeIndex(merged["ds"])
    notes = [*dates.notes, *_count_notes(len(frame), len(table), len(merged), duplicates)]
    if freq is None:
        freq = infer_frequency(index)
        notes.append(f"the frequency {freq} was inferred")
    return History(merged, freq, (*notes, *_oddities(merged, index, freq)))


def _present(y: Numbers) -> Mask:
    """The rows that have a y, readable or not."""
    present = ~np.isnan(y.values)
    present[y.bad] = True
    return present


def _merge_duplicates(table: pd.DataFrame, policy: DuplicatePolicy) -> pd.DataFrame:
    """One row a date, of a table sorted by date."""
    if table["ds"].is_unique:
        return table
    if policy == "last":
        return table.drop_duplicates("ds", keep="last")
    rest = "mean" if policy == "mean" else "last"
    how = {name: policy if name == "y" else rest for name in table.columns if name != "ds"}
    return table.groupby("ds", as_index=False).agg(how)


def _count_notes(rows: int, with_y: int, dates: int, policy: DuplicatePolicy) -> list[str]:
    notes = []
    if rows > with_y:
        notes.append(f"{rows - with_y} of {rows} rows have no y and were left out")
    if with_y > dates:
        done = {"sum": "their y was summed", "mean": "their mean was taken"}.get(policy, "the last was taken")
        notes.append(f"{with_y} rows share {dates} dates; {done}")
    return notes


def _oddities(table: pd.DataFrame, index: pd.DatetimeIndex, freq: str) -> list[str]:
    """What a fit survives but a reader should know."""
    notes = []
    if table["y"].min() == table["y"].max():
        notes.append(f"y is constant at {table['y'].iloc[0]:g}")
    lacking, beside = off_the_grid(index, freq)
    if lacking > 0:
        notes.append(f"the dates have gaps: {lacking} of {lacking + len(index) - beside} dates of {freq} are missing")
    if beside:
        notes.append(f"the dates are irregular: {beside} of {len(index)} lie off the grid of {freq}")
    return notes


class _Findings:
    """The faults of one table, collected check by check, worded alike."""

    def __init__(
        self,
        frame: pd.DataFrame,
        row_numbers: Sequence[int] | npt.NDArray[np.int64] | None,
        column_names: Mapping[str, str],
    ) -> None:
        self._frame = frame
        self._names = column_names
        self._numbers = np.arange(len(frame)) if row_numbers is None else np.asarray(row_numbers)
        self._faults: list[Fault] = []

    def raise_any(self) -> None:
        """Raise HistoryError if there are faults."""
        if self._faults:
            raise HistoryError(tuple(self._faults))

    def missing_columns(self, names: Sequence[str]) -> None:
        """Raise at once when a column is missing or there twice: nothing else can be judged then."""
        there = list(self._frame.columns)
        for name in names:
            if there.count(name) != 1:
                problem = "is missing" if name not in there else f"is there {there.count(name)} times"
                message = f"Column {name!r} {problem}; there are {', '.join(map(str, there)) or 'none'}."
                self._faults.append(Fault("missing_column", message, name))
        self.raise_any()

    def bad_dates(self, dates: Dates, present: Mask) -> None:
        """Dates that cannot be read, are missing where there is a y, or lack the time zone that others have."""
        self._add("unparsable_date", "ds", dates.bad, "unreadable as a date")
        missing = dates.values.isna() & present
        missing[dates.bad] = False
        self._add("missing_date", "ds", np.flatnonzero(missing), "missing")
        self._add("mixed_time_zones", "ds", dates.mixed, "without a time zone, while others have one")

    def bad_numbers(self, numbers: dict[str, Numbers], present: Mask) -> None:
        """Values that are not numbers, are infinite, or are missing where only y may be."""
        for name, column in numbers.items():
            self._add("unparsable_number", name, column.bad, "unreadable as a number")
            self._add("infinite_number", name, np.flatnonzero(np.isinf(column.values)), "infinite")
            if name != "y":
                missing = np.isnan(column.values) & present
                missing[column.bad] = False
                self._add("missing_number", name, np.flatnonzero(missing), "missing")

    def bad_bounds(self, numbers: dict[str, Numbers], present: Mask) -> None:
        """Caps that are not above the floor, which is 0 when there is none."""
        if "cap" in numbers:
            floor = numbers["floor"].values if "floor" in numbers else 0.0
            low = present & (numbers["cap"].values <= floor)
            self._add("cap_not_above_floor", "cap", np.flatnonzero(low), "not above the floor")

    def bad_order(self, ds: pd.DatetimeIndex, usable: Mask, *, sort: bool, duplicates: DuplicatePolicy) -> None:
        """Dates that come back, go back, or are too few."""
        positions = np.flatnonzero(usable)
        stamps = ds[usable]
        again = positions[stamps.duplicated()]
        if duplicates == "error":
            self._add("duplicate_dates", "ds", again, "repeated")
        if not sort:
            backwards = np.flatnonzero(np.diff(stamps.asi8) < 0) + 1
            self._add("unsorted_dates", "ds", positions[backwards], "earlier than the date before")
        dates = len(positions) - len(again)
        unread = sum(fault.code == "unparsable_date" or fault.code == "missing_date" for fault in self._faults)
        if dates < 2 and not unread:
            message = f"There are {dates} dates with a y; a fit needs at least 2."
            self._faults.append(Fault("too_few_points", message.replace("are 1 dates", "is 1 date"), None))

    def _add(self, code: str, column: str, positions: npt.NDArray[np.intp], problem: str) -> None:
        if len(positions) == 0:
            return
        shown = positions[:_SHOWN]
        rows = tuple(int(row) for row in self._numbers[shown])
        values = tuple(_text(value) for value in self._frame[column].iloc[shown])
        places = ", ".join(
            f"row {row} ({value})" if value else f"row {row}" for row, value in zip(rows, values, strict=True)
        )
        more = f" and {len(positions) - _SHOWN} more" if len(positions) > _SHOWN else ""
        count = "1 value is" if len(positions) == 1 else f"{len(positions)} values are"
        name = self._names.get(column, column)
        message = f"In column {name!r}, {count} {problem}: {places}{more}."
        self._faults.append(Fault(code, message, name, rows, values))


def _text(value: Any) -> str:
    """A value as a message shows it, cut to a readable length."""
    missing = value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value))
    try:
        text = value if isinstance(value, str) else "" if missing else str(value)
    except ValueError:  # an integer of more digits than Python writes out
        text = f"{type(value).__name__} too long to show"
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
