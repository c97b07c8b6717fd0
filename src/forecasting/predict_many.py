"""Forecasts of many segments in one pass over arrays, with ragged horizons and any mixture of calendars.

N rows belong to Q requests, each for one model of a ModelTable. What one request lacks makes its own rows NaN and
touches no other: `predict` says what was wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from forecasting.errors import RowsError
from forecasting.features import MODES, FeatureTable
from forecasting.predict import Prediction
from forecasting.table import ModelTable, Records
from forecasting.trend import GROWTHS, Floats, sigmoid

Integers = npt.NDArray[np.int64]
_LOGISTIC = GROWTHS.index("logistic")
_WASTE = 8  # how many products a request may cost that it did not ask for before each row is computed by itself


@dataclass(frozen=True, eq=False)
class RowBlock:
    """The rows of many requests, one request after the other.

    models: (Q,) positions in the table. offsets: (Q + 1,), request q has the rows offsets[q] to offsets[q + 1].
    ds: (N,) nanoseconds. columns: by name (N,), NaN in the rows of models that do not use them.
    """

    models: Integers
    offsets: Integers
    ds: Integers
    columns: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise RowsError where the lengths do not fit one another."""
        if len(self.offsets) != len(self.models) + 1 or self.offsets[0] != 0 or self.offsets[-1] != len(self.ds):
            raise RowsError("the offsets do not cut the rows into one piece a model")
        if np.any(np.diff(self.offsets) < 0):
            raise RowsError("the offsets do not ascend")
        for name, values in self.columns.items():
            if len(values) != len(self.ds):
                raise RowsError(f"the column {name} has {len(values)} values for {len(self.ds)} rows")

    @cached_property
    def lengths(self) -> Integers:
        """(Q,): how many rows each request has."""
        return np.diff(self.offsets)

    def of(self, requests: npt.NDArray[np.bool_]) -> tuple[Integers | slice, Integers]:
        """The rows of some of the requests, (Q,) true for those, and how many rows each of them has."""
        if requests.all():
            return slice(None), self.lengths
        return np.flatnonzero(np.repeat(requests, self.lengths)), self.lengths[requests]

    def column(self, name: str) -> Floats:
        """(N,) finite numbers or NaN; all NaN where the block has no such column."""
        if name not in self.columns:
            return np.full(len(self.ds), np.nan)
        values = np.asarray(self.columns[name], dtype=np.float64)
        return np.where(np.isfinite(values), values, np.nan)


def predict_many(table: ModelTable, rows: RowBlock, *, components: bool = False) -> Prediction:
    """Forecast every row of the block; equal to `predict` on each request to the last few bits.

    components: also every named component, NaN in the rows of models that do not have it.
    """
    records = table.records.take(rows.models)
    start, t_scale = (np.repeat(records[name], rows.lengths) for name in ("start", "t_scale"))
    t = (rows.ds - start) / t_scale
    theta = _thetas(table, rows, records, t)
    trend, cap = _trends(rows, records, theta)
    additive, multiplicative = np.empty(len(t)), np.empty(len(t))
    parts: dict[str, Floats] = {}
    for place in set(records["features"].tolist()):
        effects = _Effects.of(table, rows, records, place)
        for mode, total in zip(MODES, (additive, multiplicative), strict=True):
            total[effects.rows] = effects.component(f"{mode}_terms")
        for name in effects.features.components if components else ():
            values = parts.setdefault(name, np.full(len(t), np.nan))
            values[effects.rows] = effects.component(name)
    yhat = trend * (1.0 + multiplicative) + additive
    return Prediction(rows.ds, t, theta, trend, yhat, additive, multiplicative, cap, parts)


def _thetas(table: ModelTable, rows: RowBlock, records: Records, t: Floats) -> Floats:
    """The trend's line at each t."""
    fields = ("last_slope", "last_intercept", "last_changepoint")
    slope, intercept, changepoint = (np.repeat(records[name], rows.lengths) for name in fields)
    theta: Floats = slope * t + intercept
    early = np.flatnonzero(t < changepoint)
    if len(early):
        owners = np.repeat(np.arange(len(records)), rows.lengths)
        theta[early] = _theta_between(table, records[owners[early]], t[early])
    return theta


def _trends(rows: RowBlock, records: Records, theta: Floats) -> tuple[Floats, Floats | None]:
    """The trend in the unit of y, and the scaled cap; NaN where a bound is missing or cap is not above floor."""
    y_scale, floor = (np.repeat(records[name], rows.lengths) for name in ("y_scale", "constant_floor"))
    if not (records["growth"] == _LOGISTIC).any():
        return theta * y_scale + floor, None
    is_logistic, has_floor = (
        np.repeat(values, rows.lengths) for values in (records["growth"] == _LOGISTIC, records["has_floor"])
    )
    floor = np.where(has_floor, rows.column("floor"), floor)
    cap = np.where(is_logistic, (rows.column("cap") - floor) / y_scale, np.nan)
    cap = np.where(cap > 0, cap, np.nan)
    scaled = np.where(is_logistic, cap * sigmoid(np.where(is_logistic, theta, 0.0)), theta)
    return scaled * y_scale + floor, cap


def _theta_between(table: ModelTable, records: Records, t: Floats) -> Floats:
    """The trend's line at each t (rows,) that lies before its model's last changepoint: bisections side by side."""
    changepoints = records["block"] + records["n_columns"] + 2 * records["n_regressors"]
    low = np.zeros(len(t), dtype=np.int64)
    high = records["n_changepoints"].astype(np.int64) - 1  # the last changepoint is known to lie after t
    while np.any(low < high):
        middle = (low + high) // 2
        passed = table.arena[changepoints + middle] <= t
        low, high = np.where(passed & (low < high), middle + 1, low), np.where(passed, high, middle)
    slopes = changepoints + records["n_changepoints"]
    intercepts = slopes + records["n_changepoints"] + 1
    theta: Floats = table.arena[slopes + low] * t + table.arena[intercepts + low]
    return theta


def calibration_start(records: Records) -> Integers:
    """(Q,): where in the arena the calibrated horizons of each model begin, with the factors right after them."""
    parts = records["n_columns"] + 2 * records["n_regressors"] + 3 * records["n_changepoints"] + 2
    start: Integers = records["block"] + parts
    return start


@dataclass(frozen=True, eq=False)
class _Effects:
    """The requests whose models share their features: P requests with n rows.

    rows: (n,) of the block. lengths: (P,). date: (n,), the place of each row's date among the U dates of design
    (U, calendar columns); None where every request has the U dates. scales: (P,). coefficients: (P, K).
    standardised: (n, R). broken: (n,), rows whose condition is neither true nor false.
    """

    features: FeatureTable
    rows: Integers | slice
    lengths: Integers
    date: Integers | None
    design: Floats
    scales: Floats
    coefficients: Floats
    standardised: Floats
    broken: npt.NDArray[np.bool_] | None

    @classmethod
    def of(cls, table: ModelTable, block: RowBlock, records: Records, place: int) -> _Effects:
        features = table.features[place]
        chosen = records["features"] == place
        rows, lengths = block.of(chosen)
        records = records.compress(chosen)
        k, r = features.n_columns, len(features.regressors)
        numbers = table.arena[records["block"][:, None] + np.arange(k + 2 * r)]
        standardised = np.empty((int(lengths.sum()), r))
        for column, term in enumerate(features.regressors):
            mean, deviation = (np.repeat(numbers[:, first + column], lengths) for first in (k, k + r))
            standardised[:, column] = (block.column(term.name)[rows] - mean) / deviation
        design, date, broken = _design(features, block, rows, lengths)
        return cls(features, rows, lengths, date, design, records["y_scale"], numbers[:, :k], standardised, broken)

    def component(self, name: str) -> Floats:
        """(n,): what a component adds to each row, in the unit of y or as a share of the trend."""
        features, place = self.features, self.features.components.index(name)
        width, inside = features.n_calendar, features.membership[:, place]
        if not inside.any():
            return np.zeros(len(self.standardised))
        values = self._calendar(np.flatnonzero(inside[:width]))
        for column in np.flatnonzero(inside[width:]) if features.regressors else ():
            values += self.standardised[:, column] * np.repeat(self.coefficients[:, width + column], self.lengths)
        if self.broken is not None:
            values[self.broken] = np.nan
        return values * np.repeat(self.scales, self.lengths) if features.is_additive[place] else values

    def _calendar(self, used: Integers) -> Floats:
        """(n,): the used columns of the design times their coefficients.

        By dot products and not as one product of matrices, whose last bits depend on how many rows there are.
        """
        design, weights = (np.ascontiguousarray(values[:, used]) for values in (self.design, self.coefficients))
        owners = np.repeat(np.arange(len(weights)), self.lengths)
        if self.date is not None and len(design) * len(weights) > _WASTE * len(owners):
            return np.asarray(np.vecdot(design[self.date], weights[owners]))
        each: Floats = np.vecdot(weights[:, None, :], design)
        return each.ravel() if self.date is None else each[owners, self.date]


def _design(
    features: FeatureTable, block: RowBlock, rows: Integers | slice, lengths: Integers
) -> tuple[Floats, Integers | None, npt.NDArray[np.bool_] | None]:
    """The design of the distinct dates, the place of each row's date among them, and which rows' conditions fail.

    Without places, and without a sort, where all requests have the same dates.
    """
    ds = block.ds[rows]
    if features.conditions:  # two rows of one date may differ in them, so each row keeps a design of its own
        conditions = {name: block.column(name)[rows] for name in features.conditions}
        broken = ~np.logical_and.reduce([np.isin(values, (0.0, 1.0)) for values in conditions.values()])
        mended = {name: np.where(broken, 0.0, values) for name, values in conditions.items()}
        return features.calendar_design(ds, mended), np.arange(len(ds)), broken
    if (lengths == lengths[0]).all():
        grid = ds.reshape(len(lengths), -1)
        if (grid == grid[0]).all():
            return features.calendar_design(grid[0]), None, None
    dates, date = np.unique(ds, return_inverse=True)
    return features.calendar_design(dates), date, None
