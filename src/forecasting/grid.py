"""Forecasts of models of one kind at equally many dates each: matrices, with no row that needs a case of its own.

It is what serving does all day, and in a third of the time that `forecast_many` takes for rows of any kind. Models are
of one kind when their blocks in the arena have the same layout and share their features. A kind is plain when nothing
but dates decides its forecasts: a point estimate of linear or flat growth, without regressors and conditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from forecasting.features import MODES, FeatureTable
from forecasting.interval_table import linear_half_width, upper_tail
from forecasting.table import ModelTable, Records
from forecasting.trend import GROWTHS, Floats

Integers = npt.NDArray[np.int64]
Kinds = npt.NDArray[np.int32]

OTHER = -1  # the kind of a model that is not plain
_LOGISTIC, _FLAT = GROWTHS.index("logistic"), GROWTHS.index("flat")
_LAYOUT = ("features", "n_changepoints", "n_calibrated")  # what decides the kind of a plain model
_DESIGN_BYTES = 32 * 2**20
_MOST_CELLS = 2**20  # rows times changepoints that are compared at once: eight megabytes


@dataclass(frozen=True, eq=False)
class Grid:
    """What Q requests of n rows get, each (Q, n), in the unit of y."""

    yhat: Floats
    yhat_lower: Floats
    yhat_upper: Floats


def plain_kinds(table: ModelTable) -> Kinds:
    """(M,): the kind of every model, the same number for models of the same kind; OTHER for what is not plain."""
    records = table.records
    needs_nothing = np.array([not (own.regressors or own.conditions) for own in table.features], dtype=np.bool_)
    kinds = np.full(len(records), OTHER, dtype=np.int32)
    plain = (records["n_draws"] == 1) & (records["growth"] != _LOGISTIC)
    plain[plain] = needs_nothing[records["features"][plain]]
    layouts = np.stack([records[name][plain] for name in _LAYOUT], axis=1)
    kinds[plain] = np.unique(layouts, axis=0, return_inverse=True)[1].reshape(-1)
    return kinds


def forecast_grid(table: ModelTable, models: Integers, dates: Sequence[Integers], width: float | None = None) -> Grid:
    """Forecast models (Q,) of one plain kind, the q-th at dates[q] (n,) in nanoseconds: as `forecast_many` does, to the
    last few bits, and to the bit whatever else is asked for with it.

    dates: read-only arrays such as `make_future` shares. What follows from dates and features alone is kept for an
    array's lifetime, not for its content's. width: of the interval, for all; None: the models' own, which must be one.
    Raises ValueError for a width that is none.
    """
    records = table.records.take(models)
    features = table.features[records["features"][0]]
    shared = all(own is dates[0] for own in dates)
    ds = dates[0][None] if shared else np.stack(dates)
    numbers = _Numbers.of(table, records, features.n_columns)
    start, t_scale, y_scale, floor = (
        records[name][:, None] for name in ("start", "t_scale", "y_scale", "constant_floor")
    )
    t = (ds - start) / t_scale
    trend = _theta(records, numbers, t) * y_scale + floor
    additive, multiplicative = _effects(features, dates[:1] if shared else dates, numbers.coefficients)
    factor = np.float64(1.0) if multiplicative is None else 1.0 + multiplicative
    yhat = trend * factor
    if additive is not None:
        yhat = yhat + additive * y_scale
    half = _half_width(records, t, factor, records["interval_width"][0] if width is None else width)
    lower, upper = yhat - half, yhat + half
    if len(numbers.horizons.T):
        factors = _factors(numbers.horizons, numbers.factors, t - 1.0)
        lower, upper = (yhat + factors * (bound - yhat) for bound in (lower, upper))
    return Grid(yhat, lower, upper)


@dataclass(frozen=True, eq=False)
class _Numbers:
    """The parts of Q blocks of one layout, each (Q, its length): see `forecasting.table`."""

    coefficients: Floats
    changepoints: Floats
    slopes: Floats
    intercepts: Floats
    horizons: Floats
    factors: Floats

    @classmethod
    def of(cls, table: ModelTable, records: Records, k: int) -> _Numbers:
        s, h = int(records["n_changepoints"][0]), int(records["n_calibrated"][0])
        ends = [k, k + s, k + 2 * s + 1, k + 3 * s + 2, k + 3 * s + 2 + h, k + 3 * s + 2 + 2 * h]
        blocks = records["block"]
        if len(blocks) == 1:
            whole = table.arena[None, blocks[0] : blocks[0] + ends[-1]]
        else:
            whole = table.arena[blocks[:, None] + np.arange(ends[-1])]
        starts = [0, *ends[:-1]]
        return cls(*(whole[:, first:last] for first, last in zip(starts, ends, strict=True)))


def _theta(records: Records, numbers: _Numbers, t: Floats) -> Floats:
    """The trend's line at each t (Q, n)."""
    if (t >= records["last_changepoint"][:, None]).all():
        last: Floats = records["last_slope"][:, None] * t + records["last_intercept"][:, None]
        return last
    line = _count_up_to(numbers.changepoints, t)
    theta: Floats = np.take_along_axis(numbers.slopes, line, 1) * t + np.take_along_axis(numbers.intercepts, line, 1)
    return theta


def _count_up_to(marks: Floats, t: Floats) -> Integers:
    """(Q, n): how many of the ascending marks (Q, M) are not above each t (Q, n)."""
    if len(t) == 1:
        return np.asarray(marks[0].searchsorted(t, side="right"))
    step = max(1, _MOST_CELLS // (t.shape[1] * marks.shape[1]))
    counts = [
        (marks[first : first + step, None, :] <= t[first : first + step, :, None]).sum(axis=2)
        for first in range(0, len(t), step)
    ]
    return counts[0] if len(counts) == 1 else np.concatenate(counts)


@dataclass(frozen=True, eq=False)
class _Terms:
    """The terms of one mode at some dates. design: (n, columns); used: which of a model's coefficients they take, (K,),
    None for all of them.
    """

    design: Floats
    used: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class _Design:
    """The terms of either mode at some dates, None where a mode has none.

    owner: what they belong to; held, so that its identity stays its own while the design is kept.
    """

    terms: tuple[_Terms | None, ...]
    owner: tuple[FeatureTable, Integers]

    @classmethod
    def of(cls, features: FeatureTable, ds: Integers) -> _Design:
        columns = features.calendar_design(ds)
        terms = []
        for mode in MODES:
            used = features.membership[:, features.components.index(f"{mode}_terms")]
            design = np.ascontiguousarray(columns[:, used[: features.n_calendar]])
            terms.append(_Terms(design, None if used.all() else used) if used.any() else None)
        return cls(tuple(terms), (features, ds))

    @property
    def nbytes(self) -> int:
        return self.owner[1].nbytes + sum(own.design.nbytes for own in self.terms if own is not None)


_designs: LRUCache[tuple[int, int], _Design] = LRUCache(_DESIGN_BYTES, getsizeof=lambda design: design.nbytes)
_lock = Lock()  # threads may forecast side by side


def _design(features: FeatureTable, ds: Integers) -> _Design:
    key = id(features), id(ds)
    with _lock:
        design = _designs.get(key)
    if design is None:
        design = _Design.of(features, ds)
        if not ds.flags.writeable and design.nbytes <= _DESIGN_BYTES // 4:
            with _lock:
                _designs[key] = design
    return design


def _effects(
    features: FeatureTable, dates: Sequence[Integers], coefficients: Floats
) -> tuple[Floats | None, Floats | None]:
    """(Q, n): what the terms of each mode add up to, scaled; None where there are none. dates: one for all, or Q."""
    designs = [_design(features, ds) for ds in dates]
    sums: list[Floats | None] = []
    for terms in zip(*(design.terms for design in designs), strict=True):
        each = [own.design for own in terms if own is not None]
        if terms[0] is None:
            sums.append(None)
            continue
        weights = coefficients if terms[0].used is None else coefficients[:, terms[0].used]
        # Dot products and not one product of matrices, whose last bits depend on how many rows there are.
        weights = np.ascontiguousarray(weights)[:, None, :]
        sums.append(np.vecdot(weights, each[0] if len(each) == 1 else np.stack(each)))
    return sums[0], sums[1]


def _half_width(records: Records, t: Floats, factor: Floats | np.float64, width: float) -> Floats:
    """(Q, n): `forecasting.forecast`'s interval of a point estimate."""
    moves = records["growth"] != _FLAT
    ahead = np.maximum(t - 1.0, 0.0)
    intensity = (records["n_changepoints"] * moves)[:, None] * ahead
    jump = (records["laplace_scale"] * records["y_scale"] * moves)[:, None] * ahead * np.abs(factor)
    noise = np.broadcast_to((records["sigma_obs"] * records["y_scale"])[:, None], t.shape)
    half = linear_half_width(upper_tail(float(width)), intensity.ravel(), jump.ravel(), noise.ravel())
    return half.reshape(t.shape)


def _factors(horizons: Floats, factors: Floats, ahead: Floats) -> Floats:
    """(Q, n): each model's factors (Q, H) at its horizons (Q, H), read straight between them, the nearest beyond."""
    after = _count_up_to(horizons, ahead)
    left, right = np.maximum(after - 1, 0), np.minimum(after, horizons.shape[1] - 1)
    from_, to = np.take_along_axis(horizons, left, 1), np.take_along_axis(horizons, right, 1)
    low, high = np.take_along_axis(factors, left, 1), np.take_along_axis(factors, right, 1)
    span = to - from_
    part = np.where(span > 0, (ahead - from_) / np.where(span > 0, span, 1.0), 0.0)
    result: Floats = low + part * (high - low)
    return result
