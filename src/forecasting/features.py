"""What a Prophet adds to its trend: seasonalities, holidays and regressors, and how they fill the design matrix.

The columns of the design matrix X (rows, K) stand in Prophet's order: the sine and cosine pairs of each seasonality,
the holiday columns by their sorted keys, the regressors; a single column of zeros if there is nothing at all.
Source: Prophet.make_all_seasonality_features and regressor_column_matrix of prophet 1.5.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from forecasting.country_holidays import country_holidays
from forecasting.errors import ModelError, RowsError

Mode = Literal["additive", "multiplicative"]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MODES: tuple[Mode, Mode] = ("additive", "multiplicative")
_NANOSECONDS = 10**9  # of a second
NANOSECONDS_A_DAY = 86_400 * _NANOSECONDS
_WIDEST = 3660  # days of a holiday's window: beyond ten years a damaged number is likelier, and costs a column each
_LAST_DAY = 106_751  # nanoseconds tell the days until then, and as many before 1970
_PRIOR = 10.0  # Prophet's own prior scale of seasonalities, holidays and regressors


@dataclass(frozen=True)
class SeasonalTerm:
    """A Fourier series of `order` sine-cosine pairs with a period in days.

    condition: the boolean column that says on which rows it is at work; None for all of them.
    Raises ModelError for a period, an order or a mode that Prophet would not take; the other terms likewise.
    """

    name: str
    period: float
    order: int
    mode: Mode = "additive"
    condition: str | None = None
    prior_scale: float = _PRIOR

    def __post_init__(self) -> None:
        _check_term(self.name, self.mode)
        if not (np.isfinite(self.period) and self.period != 0 and self.order >= 1):
            raise ModelError(f"the seasonality {self.name!r} has the period {self.period} and the order {self.order}")


@dataclass(frozen=True)
class HolidayDate:
    """One day (since 1970-01-01) of a named holiday, with the days before (<= 0) and after (>= 0) that it colours."""

    name: str
    day: int
    lower_window: int = 0
    upper_window: int = 0
    prior_scale: float | None = None

    def __post_init__(self) -> None:
        window = (self.lower_window, self.upper_window)
        if not -_WIDEST <= window[0] <= 0 <= window[1] <= _WIDEST:
            raise ModelError(f"the holiday {self.name!r} has the window {window}, not one of days around it")
        if abs(self.day) > _LAST_DAY:
            raise ModelError(f"the holiday {self.name!r} is on a date outside 1678 to 2261")


@dataclass(frozen=True)
class HolidayTerms:
    """All holidays of a model: dates that its maker listed, and those of a country for any year.

    names: the holidays that the history knew, in the order met; only these have coefficients.
    """

    names: tuple[str, ...]
    dates: tuple[HolidayDate, ...] = ()
    country: str | None = None
    mode: Mode = "additive"
    prior_scale: float = _PRIOR

    def __post_init__(self) -> None:
        for name in self.names:
            _check_term(name, self.mode)

    @cached_property
    def keys(self) -> tuple[tuple[str, int], ...]:
        """The (name, offset in days) of each column, in Prophet's order: sorted as the text "name_delim_+1"."""
        known = set(self.names)
        keys = {
            (date.name, offset)
            for date in self.dates
            if date.name in known
            for offset in range(date.lower_window, date.upper_window + 1)
        }
        keys |= {(name, 0) for name in known - {name for name, _ in keys}}
        return tuple(sorted(keys, key=lambda key: f"{key[0]}_delim_{'+' if key[1] >= 0 else '-'}{abs(key[1])}"))

    @cached_property
    def _column_of(self) -> dict[tuple[str, int], int]:
        return {key: column for column, key in enumerate(self.keys)}

    @cached_property
    def _years(self) -> dict[int, tuple[Integers, Integers]]:
        return {}

    @cached_property
    def _listed(self) -> tuple[Integers, Integers]:
        """The days that the listed dates colour, ascending, and the column of each."""
        pairs = {
            (date.day + offset, self._column_of[date.name, offset])
            for date in self.dates
            if date.name in self.names
            for offset in range(date.lower_window, date.upper_window + 1)
        }
        return _days_and_columns(pairs)

    def fill(self, design: Floats, days: Integers) -> None:
        """Set the ones of the holiday columns design (rows, columns) for the rows' days since 1970-01-01."""
        if self.dates:
            _set_ones(design, days, *self._listed)
        if self.country is not None:
            years = days.astype("M8[D]").astype("M8[Y]").astype(np.int64) + 1970
            for year in set(years.tolist()):
                _set_ones(design, days, *self._of_year(self.country, year))

    def _of_year(self, country: str, year: int) -> tuple[Integers, Integers]:
        """The days of a country's holidays in a year, ascending, and the column of each; kept from the first time."""
        if year not in self._years:
            pairs = {
                (day, self._column_of[name, 0])
                for day, name in country_holidays(country, year)
                if (name, 0) in self._column_of
            }
            self._years[year] = _days_and_columns(pairs)
        return self._years[year]


@dataclass(frozen=True)
class RegressorTerm:
    """A column that comes with the rows; its mean and standard deviation belong to the segment (ForecastModel)."""

    name: str
    mode: Mode = "additive"
    prior_scale: float = _PRIOR
    standardize: bool | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        _check_term(self.name, self.mode)


@dataclass(frozen=True)
class FeatureTable:
    """The terms of a model, without anything that is fitted: segments of one kind share one table."""

    seasonalities: tuple[SeasonalTerm, ...] = ()
    holidays: HolidayTerms | None = None
    regressors: tuple[RegressorTerm, ...] = ()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Taken once: tables are looked up by it for every forecast."""
        return hash((self.seasonalities, self.holidays, self.regressors))

    @cached_property
    def n_fourier(self) -> int:
        """How many of the columns are sines and cosines."""
        return 2 * sum(term.order for term in self.seasonalities)

    @cached_property
    def n_calendar(self) -> int:
        """How many of the columns follow from the date (and conditions) alone: all but the regressors."""
        return self.n_fourier + (len(self.holidays.keys) if self.holidays else 0)

    @cached_property
    def n_columns(self) -> int:
        """K, the columns of the design matrix; never 0, because Prophet gives an empty one a column of zeros."""
        return max(1, self.n_calendar + len(self.regressors))

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """The boolean columns that the rows must carry."""
        return tuple(dict.fromkeys(term.condition for term in self.seasonalities if term.condition is not None))

    @cached_property
    def column_terms(self) -> tuple[tuple[str, Mode], ...]:
        """The (name, mode) of the term behind each column; empty where the one column is Prophet's zeros."""
        terms = [(term.name, term.mode) for term in self.seasonalities for _ in range(2 * term.order)]
        if self.holidays is not None:
            terms += [(name, self.holidays.mode) for name, _ in self.holidays.keys]
        return (*terms, *((term.name, term.mode) for term in self.regressors))

    @cached_property
    def components(self) -> tuple[str, ...]:
        """The component columns of a forecast in Prophet's order: by name, the two totals last where empty."""
        names = {name for name, _ in self.column_terms} | {f"{mode}_terms" for _, mode in self.column_terms}
        names |= {f"extra_regressors_{term.mode}" for term in self.regressors}
        if self.holidays is not None:
            names.add("holidays")
        return (*sorted(names), *(f"{mode}_terms" for mode in MODES if f"{mode}_terms" not in names))

    @cached_property
    def membership(self) -> Mask:
        """(K, components): whether a column's effect is part of a component."""
        inside = np.zeros((self.n_columns, len(self.components)), dtype=bool)
        place = {name: position for position, name in enumerate(self.components)}
        for column, (name, mode) in enumerate(self.column_terms):
            groups = [name, f"{mode}_terms"]
            if self.holidays is not None and self.n_fourier <= column < self.n_calendar:
                groups.append("holidays")
            if column >= self.n_calendar:
                groups.append(f"extra_regressors_{mode}")
            inside[column, [place[group] for group in groups]] = True
        return inside

    @cached_property
    def is_additive(self) -> Mask:
        """(components,): whether a component is in the unit of y, rather than a share of the trend."""
        additive = {name for name, mode in self.column_terms if mode == "additive"}
        additive |= {"additive_terms", "extra_regressors_additive"}
        if self.holidays is not None and self.holidays.mode == "additive":
            additive.add("holidays")
        return np.array([name in additive for name in self.components])

    @cached_property
    def _frequencies(self) -> Floats:
        """(n_fourier / 2,): the cycles a day of each sine-cosine pair."""
        return np.array([(pair + 1) / term.period for term in self.seasonalities for pair in range(term.order)])

    def calendar_design(self, ds: Integers, columns: Mapping[str, npt.NDArray[np.generic]] | None = None) -> Floats:
        """The columns (rows, n_calendar) of the design matrix that follow from dates in nanoseconds and conditions.

        Seconds are split and angles multiplied as pandas and Prophet do (Series.dt.total_seconds, Prophet.
        fourier_series): those of a short period are large enough for any other way to show in the tenth digit.
        """
        design = np.empty((len(ds), self.n_calendar))
        if self.n_fourier:
            whole, rest = np.divmod(ds, _NANOSECONDS)
            turns = np.pi * 2 * ((whole + rest / _NANOSECONDS) / 86_400)
            angles = turns[:, None] * self._frequencies
            np.sin(angles, out=design[:, 0 : self.n_fourier : 2])
            np.cos(angles, out=design[:, 1 : self.n_fourier : 2])
            if self.conditions:
                self._apply_conditions(design, columns or {})
        if self.holidays is not None:
            design[:, self.n_fourier :] = 0.0
            self.holidays.fill(design[:, self.n_fourier :], ds // NANOSECONDS_A_DAY)
        return design

    def _apply_conditions(self, design: Floats, columns: Mapping[str, npt.NDArray[np.generic]]) -> None:
        first = 0
        for term in self.seasonalities:
            last = first + 2 * term.order
            if term.condition is not None:
                design[~read_condition(columns, term.condition), first:last] = 0.0
            first = last

    def regressor_values(self, columns: Mapping[str, npt.NDArray[np.generic]]) -> Floats:
        """The regressors' raw columns side by side, (rows, regressors).

        Raises RowsError naming a column that is missing or holds something that is no finite number.
        """
        return np.column_stack([read_column(columns, term.name) for term in self.regressors])


def read_column(columns: Mapping[str, npt.NDArray[np.generic]], name: str) -> Floats:
    """A column of finite numbers; raises RowsError naming it."""
    if name not in columns:
        raise RowsError(f"this model needs {name} for every forecast row")
    try:
        values = np.asarray(columns[name], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RowsError(f"the column {name} holds something that is no number") from error
    if not np.isfinite(values).all():
        raise RowsError(f"the column {name} must be a finite number in every forecast row")
    return values


def read_condition(columns: Mapping[str, npt.NDArray[np.generic]], name: str) -> Mask:
    """A column of true and false, or of 1 and 0; raises RowsError naming it."""
    values = read_column(columns, name)
    if not np.isin(values, (0.0, 1.0)).all():
        raise RowsError(f"the condition {name} must be true or false in every forecast row")
    return values.astype(bool)


def _check_term(name: str, mode: Mode) -> None:
    if not isinstance(name, str):
        raise ModelError(f"{name!r} is no name of a seasonality, holiday or regressor")
    if mode not in MODES:
        raise ModelError(f"the mode {mode!r} of {name!r} is neither additive nor multiplicative")


def _days_and_columns(pairs: set[tuple[int, int]]) -> tuple[Integers, Integers]:
    ordered = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return ordered[:, 0].copy(), ordered[:, 1].copy()


def _set_ones(design: Floats, days: Integers, holidays: Integers, columns: Integers) -> None:
    """Set design[row, column] = 1 where a row's day is one of the ascending holidays, each with its column."""
    first = holidays.searchsorted(days, side="left")
    count = holidays.searchsorted(days, side="right") - first
    for row in np.flatnonzero(count):
        design[row, columns[first[row] : first[row] + count[row]]] = 1.0
