"""Forecasts of many segments in one pass over arrays, with ragged horizons and any mixture of calendars.

N rows belong to Q requests, each for one model of a ModelTable. What one request lacks makes its own rows NaN and
touches no other: `predict` says what was wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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

    @property
    def owners(self) -> Integers:
        """(N,): the request that each row belongs to."""
        return np.repeat(np.arange(len(self.models)), np.diff(self.offsets))

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
    records, owners = table.records[rows.models], rows.owners
    t = (rows.ds - records["start"][owners]) / records["t_scale"][owners]
    trend, floor, cap = _trends(table, rows, records, owners, t)
    additive, multiplicative = np.empty(len(t)), np.empty(len(t))
    parts: dict[str, Floats] = {}
    for place in np.unique(records["features"]):
        effects = _Effects.of(table, rows, records, owners, int(place))
        for mode, total in zip(MODES, (additive, multiplicative), strict=True):
            total[effects.rows] = effects.component(f"{mode}_terms")
        for name in effects.features.components if components else ():
            values = parts.setdefault(name, np.full(len(t), np.nan))
            values[effects.rows] = effects.component(name)
    yhat = trend * (1.0 + multiplicative) + additive
    return Prediction(rows.ds, t, trend, yhat, additive, multiplicative, floor, cap, parts)


def _trends(
    table: ModelTable, rows: RowBlock, records: Records, owners: Integers, t: Floats
) -> tuple[Floats, Floats, Floats | None]:
    """Trend and floor in the unit of y, and the scaled cap; NaN where a bound is missing or cap is not above floor."""
    theta = records["last_slope"][owners] * t + records["last_intercept"][owners]
    early = np.flatnonzero(t < records["last_changepoint"][owners])
    if len(early):
        theta[early] = _theta_between(table, records[owners[early]], t[early])
    y_scale, floor = records["y_scale"][owners], records["constant_floor"][owners]
    is_logistic = records["growth"][owners] == _LOGISTIC
    if not is_logistic.any():
        return theta * y_scale + floor, floor, None
    floor = np.where(records["has_floor"][owners], rows.column("floor"), floor)
    cap = np.where(is_logistic, (rows.column("cap") - floor) / y_scale, np.nan)
    cap = np.where(cap > 0, cap, np.nan)
    scaled = np.where(is_logistic, cap * sigmoid(np.where(is_logistic, theta, 0.0)), theta)
    return scaled * y_scale + floor, floor, cap


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


@dataclass(frozen=True, eq=False)
class _Effects:
    """The requests whose models share their features.

    rows: (n,) of the block. local: (n,), the place of each row's request among the P requests. date: (n,), the place
    of each row's date among the U dates of design (U, calendar columns). scales: (P,). coefficients: (P, K).
    standardised: (n, R). broken: (n,), rows whose condition is neither true nor false.
    """

    features: FeatureTable
    rows: Integers | slice
    local: Integers
    date: Integers
    design: Floats
    scales: Floats
    coefficients: Floats
    standardised: Floats
    broken: npt.NDArray[np.bool_] | None

    @classmethod
    def of(cls, table: ModelTable, block: RowBlock, records: Records, owners: Integers, place: int) -> _Effects:
        features = table.features[place]
        chosen = records["features"] == place
        rows: Integers | slice = slice(None) if chosen.all() else np.flatnonzero(chosen[owners])
        requests, records = (np.cumsum(chosen) - 1), records[chosen]
        local = requests[owners[rows]]
        spans = records["block"][:, None] + np.arange(features.n_columns + 2 * len(features.regressors))
        numbers = table.arena[spans]
        k, r = features.n_columns, len(features.regressors)
        standardised = np.empty((len(local), r))
        for column, term in enumerate(features.regressors):
            mean, deviation = numbers[local, k + column], numbers[local, k + r + column]
            standardised[:, column] = (block.column(term.name)[rows] - mean) / deviation
        design, date, broken = _design(features, block, rows)
        coefficients = numbers[:, :k]
        return cls(features, rows, local, date, design, records["y_scale"], coefficients, standardised, broken)

    def component(self, name: str) -> Floats:
        """(n,): what a component adds to each row, in the unit of y or as a share of the trend."""
        features, place = self.features, self.features.components.index(name)
        width, inside = features.n_calendar, features.membership[:, place]
        if not inside.any():
            return np.zeros(len(self.local))
        used = np.flatnonzero(inside[:width])
        design, weights = self.design[:, used], self.coefficients[:, used]
        if len(design) * len(weights) <= _WASTE * len(self.local):
            values: Floats = (weights @ design.T)[self.local, self.date]
        else:
            values = np.einsum("nk,nk->n", design[self.date], weights[self.local])
        for column in np.flatnonzero(inside[width:]) if features.regressors else ():
            values = values + self.standardised[:, column] * self.coefficients[self.local, width + column]
        if self.broken is not None:
            values[self.broken] = np.nan
        return values * self.scales[self.local] if features.is_additive[place] else values


def _design(
    features: FeatureTable, block: RowBlock, rows: Integers | slice
) -> tuple[Floats, Integers, npt.NDArray[np.bool_] | None]:
    """The design of the distinct dates, the place of each row's date among them, and which rows' conditions fail."""
    ds = block.ds[rows]
    if features.conditions:  # two rows of one date may differ in them, so each row keeps a design of its own
        conditions = {name: block.column(name)[rows] for name in features.conditions}
        broken = ~np.logical_and.reduce([np.isin(values, (0.0, 1.0)) for values in conditions.values()])
        mended = {name: np.where(broken, 0.0, values) for name, values in conditions.items()}
        return features.calendar_design(ds, mended), np.arange(len(ds)), broken
    dates, date = _distinct(ds, block.offsets)
    return features.calendar_design(dates), date, None


def _distinct(ds: Integers, offsets: Integers) -> tuple[Integers, Integers]:
    """The distinct dates and each row's place among them; without a sort where all requests have the same dates."""
    if len(offsets) > 1 and len(ds) == offsets[-1]:
        length = int(offsets[1])
        if length and len(ds) == length * (len(offsets) - 1):
            grid = ds.reshape(-1, length)
            if np.array_equal(grid, np.broadcast_to(grid[0], grid.shape)):
                return grid[0], np.tile(np.arange(length), len(grid))
    dates, date = np.unique(ds, return_inverse=True)
    return dates, date
