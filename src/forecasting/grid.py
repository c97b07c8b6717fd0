"""Forecasts of models of one kind at equally many dates each: matrices, with no row that needs a case of its own.

It is what serving does all day, in a fraction of the time that `forecast_many` takes for rows of any kind. Models are
of one kind when their blocks in the arena have the same layout and share their features. A kind is plain when nothing
but dates decides its forecasts: a point estimate of linear or flat growth, without regressors and conditions.

One model and many are forecast by the same lines: the numbers of one are scalars and its rows (n,), those of Q are
columns (Q, 1) and matrices (Q, n). Either way the same operations round the same, so company changes no bit; and one
alone costs some thirty short operations, for which even a matrix of one row would take twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forecasting.features import NANOSECONDS_A_DAY, FeatureTable
from forecasting.grid_blocks import Block, Blocks
from forecasting.grid_dates import Design, Horizon, Integers, design_of, horizon_of
from forecasting.interval_table import (
    FIRST_RIGHT,
    INTENSITY_STEPS,
    LAST_RIGHT,
    RATIO_STEPS,
    half_width_table,
    linear_half_width,
    upper_tail,
)
from forecasting.table import ModelTable, Records
from forecasting.trend import GROWTHS, Floats

OTHER = -1  # the kind of a model that is not plain
NUMBERS = 11  # of a model, which `numbers_of` gives
_LOGISTIC, _FLAT = GROWTHS.index("logistic"), GROWTHS.index("flat")


class Grid(NamedTuple):
    """What Q requests of n rows get, each (Q, n), in the unit of y."""

    yhat: Floats
    yhat_lower: Floats
    yhat_upper: Floats


@dataclass(frozen=True, eq=False)
class PlainModels:
    """The plain models of a table, made ready.

    kinds: (M,), the same number for models of one kind, OTHER for those that are not plain; layouts: of each kind.
    places: (M, 2), where each model's block begins, and the end of its history in nanoseconds. numbers: (M, NUMBERS),
    as `numbers_of` says.
    """

    arena: Floats
    kinds: npt.NDArray[np.int32]
    layouts: Sequence[_Layout]
    places: Integers
    numbers: Floats

    @classmethod
    def of(cls, table: ModelTable, numbers: Floats | None = None) -> PlainModels:
        """Look through a table once: some ten milliseconds for 100,000 models, ten times that without their numbers."""
        records = table.records
        ends = records["start"] + np.rint(records["t_scale"]).astype(np.int64)
        places = np.stack([records["block"], ends], axis=1)
        return cls(table.arena, *_kinds(table), places, numbers_of(records) if numbers is None else numbers)

    def forecast(self, models: Sequence[int] | Integers, dates: Sequence[Integers], width: float) -> Grid:
        """Forecast models (Q,) of one plain kind, the q-th at dates[q] (n,) in nanoseconds: as `forecast_many` does, to
        the last few bits, and to the bit whatever else is asked for with it.

        dates: read-only arrays such as `make_future` shares; what follows from dates and features alone is kept with
        them. width: of the interval. Raises ValueError for one that is none.
        """
        probability, row = upper_tail(width), models[0]
        features, *lengths = self.layouts[self.kinds[row]]
        numbers = np.empty((3, len(models), len(dates[0])))
        if len(models) == 1:
            begin, end = self.places[row].tolist()
            seen = horizon_of(dates[0], end), design_of(dates[0], features)
            group = _Group(Block(self.arena, begin, *lengths), *seen, *self.numbers[row].tolist())
            group.forecast(probability, *numbers[:, 0])
        else:
            rows = np.asarray(models)
            begins, ends = self.places[rows].T
            horizon = Horizon.joined([horizon_of(ds, end) for ds, end in zip(dates, ends.tolist(), strict=True)])
            design = Design.joined([design_of(ds, features) for ds in dates])
            group = _Group(Blocks(self.arena, begins, *lengths), horizon, design, *self.numbers[rows].T[..., None])
            group.forecast(probability, *numbers)
        return Grid(*numbers)


class _Layout(NamedTuple):
    """What decides the kind of a plain model."""

    features: FeatureTable
    n_columns: int
    n_changepoints: int
    n_calibrated: int


class _Group(NamedTuple):
    """A model, or Q of one kind, and their dates; the numbers are in the unit of y and of days, or of Q models columns.

    level, slope: of the trend's last line, from the end of the history on; bend: the day on which that line begins.
    rate: how many changes of slope are expected a day; jump: by how much one of a Laplace scale at the end of the
    history moves the trend in a day; noise: the deviation of an observation. log_rate, log_ratio: the logarithms of the
    rate and of noise / jump, in steps of the table of half-widths.
    """

    block: Block | Blocks
    horizon: Horizon
    design: Design
    y_scale: Any
    floor: Any
    level: Any
    slope: Any
    bend: Any
    t_scale: Any
    rate: Any
    jump: Any
    noise: Any
    log_rate: Any
    log_ratio: Any

    def forecast(self, probability: float, yhat: Floats, lower: Floats, upper: Floats) -> None:
        """Fill in the forecast and its bounds, each (n,) or (Q, n)."""
        coefficients, design = self.block.coefficients, self.design
        factor = None
        self._fill_trend(yhat)
        if design.multiplicative is not None:
            factor = design.multiplicative.of(coefficients)
            factor += 1.0
            yhat *= factor
        if design.additive is not None:
            effect = design.additive.of(coefficients)
            effect *= self.y_scale
            yhat += effect
        half = self._half_width(probability, factor)
        if self.block.n_calibrated:
            half *= self.block.factors(self.horizon.days / self.t_scale)
        np.subtract(yhat, half, out=lower)
        np.add(yhat, half, out=upper)

    def _fill_trend(self, trend: Floats) -> None:
        days = self.horizon.days
        if _all(self.horizon.ahead & (self.horizon.first_day >= self.bend)):
            np.multiply(days, self.slope, out=trend)
            trend += self.level
            return
        slope, intercept = self.block.lines(days / self.t_scale + 1.0)
        np.multiply(days, slope * self.y_scale / self.t_scale, out=trend)
        trend += (slope + intercept) * self.y_scale + self.floor

    def _half_width(self, probability: float, factor: Floats | None) -> Floats:
        """Read from the table where all of a model's rows are in it, as they nearly always are."""
        table, horizon = half_width_table(probability), self.horizon
        first = self.log_rate - table.first_down
        down, right = horizon.down + first, self.log_ratio - horizon.right
        variance = horizon.cubes * (self.rate * self.jump * self.jump * (2.0 / 3.0))
        least, most = self.log_ratio - horizon.last_right, self.log_ratio - horizon.first_right
        if factor is not None:
            variance *= factor
            variance *= factor
            factor = np.abs(factor)
            right -= np.log(factor) * RATIO_STEPS
            least = np.minimum.reduce(right, axis=-1, keepdims=right.ndim > 1)
            most = np.maximum.reduce(right, axis=-1, keepdims=right.ndim > 1)
        variance += self.noise * self.noise
        inside = horizon.ahead & (least >= 0.0) & (most <= LAST_RIGHT)
        inside &= (horizon.first_down + first >= 0.0) & (horizon.last_down + first <= table.last_down)
        if _all(inside):
            half = table.at(down.ravel(), right.ravel()).reshape(down.shape)
            half *= np.sqrt(variance)
            return half
        found, known = self._anywhere(probability, factor), np.flatnonzero(inside)
        if len(known):
            read = table.at(down[known].ravel(), right[known].ravel()).reshape(len(known), -1)
            found[known] = read * np.sqrt(variance[known])
        return found

    def _anywhere(self, probability: float, magnitude: Floats | None) -> Floats:
        """The half-widths of rows wherever they lie: beside the table, inside the history, or where nothing moves."""
        ahead = np.maximum(self.horizon.days, 0.0)
        jump = self.jump * ahead if magnitude is None else self.jump * ahead * magnitude
        intensity, noise = np.broadcast_to(self.rate * ahead, jump.shape), np.broadcast_to(self.noise, jump.shape)
        return linear_half_width(probability, intensity.ravel(), jump.ravel(), noise.ravel()).reshape(jump.shape)


def _all(flags: Any) -> bool:
    """Of one model, or of all of them."""
    return bool(flags.all()) if isinstance(flags, np.ndarray) else bool(flags)


def numbers_of(records: Records) -> Floats:
    """(M, NUMBERS): those of each model that `_Group` takes, in its order."""
    t_scale, moves = records["t_scale"] / NANOSECONDS_A_DAY, records["growth"] != _FLAT
    noise = records["sigma_obs"] * records["y_scale"]
    with np.errstate(all="ignore"):  # what does not move, or has no noise, is not looked up in a table
        rate = records["n_changepoints"] * moves / t_scale
        jump = records["laplace_scale"] * records["y_scale"] * moves / t_scale
        columns = (
            records["y_scale"],
            records["constant_floor"],
            (records["last_slope"] + records["last_intercept"]) * records["y_scale"] + records["constant_floor"],
            records["last_slope"] * records["y_scale"] / t_scale,
            (records["last_changepoint"] - 1.0) * t_scale,
            t_scale,
            rate,
            jump,
            noise,
            np.log(rate) * INTENSITY_STEPS,
            np.log(noise / jump) * RATIO_STEPS - FIRST_RIGHT,
        )
    return np.stack(columns, axis=1)


def _kinds(table: ModelTable) -> tuple[npt.NDArray[np.int32], list[_Layout]]:
    """The kind of each model (M,), and the layout of each kind."""
    records = table.records
    needs_nothing = np.array([not (own.regressors or own.conditions) for own in table.features], dtype=np.bool_)
    kinds = np.full(len(records), OTHER, dtype=np.int32)
    plain = (records["n_draws"] == 1) & (records["growth"] != _LOGISTIC)
    plain[plain] = needs_nothing[records["features"][plain]]
    layouts = np.stack([records[name][plain] for name in ("features", "n_changepoints", "n_calibrated")], axis=1)
    found, kinds_of = np.unique(layouts, axis=0, return_inverse=True)
    kinds[plain] = kinds_of.reshape(-1)
    features = [table.features[place] for place in found[:, 0].tolist()]
    lengths = found[:, 1:].tolist()
    return kinds, [_Layout(own, own.n_columns, *numbers) for own, numbers in zip(features, lengths, strict=True)]
