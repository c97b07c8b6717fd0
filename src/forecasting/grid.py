"""Forecasts of models of one kind at equally many dates each: matrices, with no row that needs a case of its own.

It is what serving does all day, and in a quarter of the time that `forecast_many` takes for rows of any kind. Models
are of one kind when their blocks in the arena have the same layout and share their features. A kind is plain when
nothing but dates decides its forecasts: a point estimate of linear or flat growth, without regressors and conditions.
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
from forecasting.table import ModelTable
from forecasting.trend import GROWTHS, Floats

Integers = npt.NDArray[np.int64]

OTHER = -1  # the kind of a model that is not plain
_LOGISTIC, _FLAT = GROWTHS.index("logistic"), GROWTHS.index("flat")
_LAYOUT = ("features", "n_changepoints", "n_calibrated")  # what decides the kind of a plain model
_SCALARS = (
    *("t_scale", "y_scale", "constant_floor", "last_changepoint", "last_slope", "last_intercept"),
    *("rate", "jump", "noise"),  # of changes a unit of t; their scale, and that of an observation, in y's unit
)
_DESIGN_BYTES = 32 * 2**20
_MOST_CELLS = 2**20  # rows times changepoints that are compared at once: eight megabytes


@dataclass(frozen=True, eq=False)
class Grid:
    """What Q requests of n rows get, each (Q, n), in the unit of y."""

    yhat: Floats
    yhat_lower: Floats
    yhat_upper: Floats


@dataclass(frozen=True, eq=False)
class PlainModels:
    """The plain models of a table, made ready. kinds: (M,), the same number for models of one kind, OTHER for those
    that are not plain; starts: (M,) in nanoseconds; scalars: (M, 9), one row a model, in the order of _SCALARS.
    """

    table: ModelTable
    kinds: npt.NDArray[np.int32]
    starts: Integers
    scalars: Floats

    @classmethod
    def of(cls, table: ModelTable) -> PlainModels:
        """Look through a table once: some milliseconds for 100,000 models."""
        records, moves = table.records, table.records["growth"] != _FLAT
        columns = {
            "rate": records["n_changepoints"] * moves,
            "jump": records["laplace_scale"] * records["y_scale"] * moves,
            "noise": records["sigma_obs"] * records["y_scale"],
        }
        scalars = [columns[name] if name in columns else records[name] for name in _SCALARS]
        return cls(table, _kinds(table), records["start"].copy(), np.stack(scalars, axis=1).astype(np.float64))

    def forecast(self, models: Integers, dates: Sequence[Integers], width: float) -> Grid:
        """Forecast models (Q,) of one plain kind, the q-th at dates[q] (n,) in nanoseconds: as `forecast_many` does, to
        the last few bits, and to the bit whatever else is asked for with it.

        dates: read-only arrays such as `make_future` shares; what follows from dates and features alone is kept with
        them. width: of the interval. Raises ValueError for one that is none.
        """
        own = slice(models[0], models[0] + 1) if len(models) == 1 else models  # a view costs a tenth of a copy
        scalars = self.scalars[own].T[..., None]
        t_scale, y_scale, floor, last_changepoint, slope, intercept, rate, jump, noise = scalars
        shared = all(each is dates[0] for each in dates)
        ds = dates[0][None] if shared else np.stack(dates)
        t = (ds - self.starts[own][:, None]) / t_scale
        blocks = _Blocks.of(self.table, int(models[0]), own)
        if (t >= last_changepoint).all():
            theta = slope * t + intercept
        else:
            slope, intercept = blocks.lines(t)
            theta = slope * t + intercept
        additive, multiplicative = _effects(blocks.features, dates[:1] if shared else dates, blocks.coefficients)
        ahead = np.maximum(t - 1.0, 0.0)
        jump = jump * ahead
        yhat = theta * y_scale + floor
        if multiplicative is not None:
            factor = 1.0 + multiplicative
            yhat, jump = yhat * factor, jump * np.abs(factor)
        if additive is not None:
            yhat = yhat + additive * y_scale
        each = (rate * ahead).ravel(), jump.ravel(), noise.repeat(t.shape[1])
        half = linear_half_width(upper_tail(width), *each).reshape(t.shape)
        lower, upper = yhat - half, yhat + half
        if blocks.n_calibrated:
            factors = blocks.factors(t - 1.0)
            lower, upper = (yhat + factors * (bound - yhat) for bound in (lower, upper))
        return Grid(yhat, lower, upper)


def _kinds(table: ModelTable) -> npt.NDArray[np.int32]:
    records = table.records
    needs_nothing = np.array([not (own.regressors or own.conditions) for own in table.features], dtype=np.bool_)
    kinds = np.full(len(records), OTHER, dtype=np.int32)
    plain = (records["n_draws"] == 1) & (records["growth"] != _LOGISTIC)
    plain[plain] = needs_nothing[records["features"][plain]]
    layouts = np.stack([records[name][plain] for name in _LAYOUT], axis=1)
    kinds[plain] = np.unique(layouts, axis=0, return_inverse=True)[1].reshape(-1)
    return kinds


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Where the blocks (Q,) of models of one kind begin in the arena: see `forecasting.table` for what is in them."""

    arena: Floats
    blocks: Integers
    features: FeatureTable
    n_changepoints: int
    n_calibrated: int

    @classmethod
    def of(cls, table: ModelTable, first_model: int, models: Integers | slice) -> _Blocks:
        first = table.records[first_model]
        features = table.features[first["features"]]
        blocks = table.records["block"][models]
        return cls(table.arena, blocks, features, int(first["n_changepoints"]), int(first["n_calibrated"]))

    @property
    def coefficients(self) -> Floats:
        """(Q, K)."""
        return self._part(0, self.features.n_columns)

    def lines(self, t: Floats) -> tuple[Floats, Floats]:
        """The slope and the intercept of each trend at each t (Q, n)."""
        k, s = self.features.n_columns, self.n_changepoints
        slopes = self.blocks[:, None] + (k + s) + _count_up_to(self._part(k, s), t)
        return self.arena.take(slopes), self.arena.take(slopes + (s + 1))

    def factors(self, ahead: Floats) -> Floats:
        """(Q, n): `Calibration.at` of each model."""
        first, h = self.features.n_columns + 3 * self.n_changepoints + 2, self.n_calibrated
        numbers = zip(ahead, self._part(first, h), self._part(first + h, h), strict=True)
        return np.stack([np.interp(own, horizons, factors) for own, horizons, factors in numbers])

    def _part(self, first: int, length: int) -> Floats:
        """(Q, length): the same piece of every block."""
        if len(self.blocks) == 1:
            begin = int(self.blocks[0]) + first
            return self.arena[None, begin : begin + length]
        part: Floats = self.arena[self.blocks[:, None] + np.arange(first, first + length)]
        return part


def _count_up_to(marks: Floats, t: Floats) -> Integers:
    """(Q, n): how many of the ascending marks (Q, S) are not above each t (Q, n)."""
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
