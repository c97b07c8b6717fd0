"""Prediction intervals in closed form: the same request always gets the same answer, a row's does not depend on others.

The law is the one that Prophet documents and samples with `vectorized=False` (see `trend_law`), with infinitely many
samples. It differs from what Prophet's default, vectorized sampler gives in three ways: no sampling noise, no
dependence on which rows are asked for, and for logistic growth the interval is not shifted so that its mean is yhat
(yhat is the median of the process). `Mode.COMPAT` gives the default sampler's law, for linear and flat growth.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from forecasting.interval_table import linear_half_width, trend_half_width
from forecasting.mixture_intervals import compat_half_width, linear_draws_quantile, logistic_quantile
from forecasting.trend_law import Floats

_SMEARING = 0.05  # of the draws' standard deviation: finitely many draws of a trend have no smooth quantile


class Mode(Enum):
    """Which law: the documented process, or that of Prophet's vectorized sampler."""

    PROCESS = "process"
    COMPAT = "compat"


@dataclass(frozen=True, eq=False)
class Uncertain:
    """What an interval needs to know of a model and of the rows asked for. R rows, D draws (1 for a point estimate).

    growth: "linear", "logistic" or "flat". rate: S, changepoints a unit of scaled time. y_scale: unit of y a scaled
    unit. laplace_scale: (D,) mean |delta| + 1e-8. sigma: (D,) sigma_obs; both scaled.
    horizon: (R,) scaled time past the end of the history, t - 1; negative inside it.
    yhat, trend: (R, D) in the unit of y. factor: (R, D) 1 + multiplicative. theta: (R, D), the exponent of logistic
    growth, and cap: (R,), (cap - floor) / y_scale; both None for other growths.
    """

    growth: str
    rate: float
    y_scale: float
    laplace_scale: Floats
    sigma: Floats
    horizon: Floats
    yhat: Floats
    trend: Floats
    factor: Floats
    theta: Floats | None = None
    cap: Floats | None = None

    @property
    def ahead(self) -> Floats:
        """(R,): how far past the history, 0 inside it."""
        return np.maximum(self.horizon, 0.0)

    @property
    def intensity(self) -> Floats:
        """(R,): the expected number of changes until the row; none where the growth is flat."""
        return self.ahead * (0.0 if self.growth == "flat" else self.rate)

    @property
    def noise(self) -> Floats:
        """(R, D), in the unit of y."""
        return np.repeat(self.sigma[None, :] * self.y_scale, len(self.horizon), axis=0)

    @property
    def jump(self) -> Floats:
        """(R, D): b*h, by which a change of one Laplace scale moves the scaled trend (or its exponent)."""
        return self.ahead[:, None] * (0.0 if self.growth == "flat" else self.laplace_scale)


@dataclass(frozen=True, eq=False)
class Bounds:
    """Each (R,), in the unit of y."""

    yhat_lower: Floats
    yhat_upper: Floats
    trend_lower: Floats
    trend_upper: Floats


def bounds(
    rows: Uncertain,
    interval_width: float,
    *,
    yhat: Floats | None = None,
    factors: Floats | None = None,
    mode: Mode = Mode.PROCESS,
) -> Bounds:
    """The central interval of yhat and trend that holds interval_width of the probability, 0 < interval_width < 1.

    factors: (R,), calibrated: the distance of yhat's bounds from yhat is multiplied by them; the trend's is not,
    because nobody observes a trend. yhat: (R,), the forecast itself, the mean of the draws' if not given.
    """
    if not 0.0 < interval_width < 1.0:
        raise ValueError(f"the interval width {interval_width} is not between 0 and 1")
    upper_tail = (1.0 + interval_width) / 2.0
    if rows.growth != "logistic" and rows.yhat.shape[1] == 1:  # symmetric: one half-width says both
        half = _half_width(rows, upper_tail, mode)
        lower, upper = rows.yhat[:, 0] - half, rows.yhat[:, 0] + half
    else:
        lower, upper = (yhat_quantile(rows, p, mode=mode) for p in (1.0 - upper_tail, upper_tail))
    if factors is not None:
        centre = rows.yhat.mean(axis=1) if yhat is None else yhat
        lower, upper = centre + factors * (lower - centre), centre + factors * (upper - centre)
    trend_lower, trend_upper = (trend_quantile(rows, p) for p in (1.0 - upper_tail, upper_tail))
    return Bounds(lower, upper, trend_lower, trend_upper)


def yhat_quantile(rows: Uncertain, probability: float, *, mode: Mode = Mode.PROCESS) -> Floats:
    """The quantile (R,) of an observation at each row, 0 < probability < 1."""
    if mode is Mode.PROCESS and rows.growth == "logistic":
        theta, cap = _exponent(rows)
        return logistic_quantile(
            probability, rows.intensity, theta, rows.jump, cap * rows.y_scale, rows.yhat, rows.factor, rows.noise
        )
    if mode is Mode.PROCESS and rows.yhat.shape[1] > 1:
        jump = rows.jump * np.abs(rows.factor) * rows.y_scale
        return linear_draws_quantile(probability, rows.intensity, rows.yhat, jump, rows.noise)
    return rows.yhat[:, 0] + _side(probability) * _half_width(rows, _upper(probability), mode)


def _half_width(rows: Uncertain, probability: float, mode: Mode) -> Floats:
    """Point estimates of linear and flat growth, whose law is symmetric; probability from 0.5 up."""
    if mode is Mode.COMPAT:
        return _compat_half_width(rows, probability)
    jump = rows.jump[:, 0] * np.abs(rows.factor[:, 0]) * rows.y_scale
    return linear_half_width(probability, rows.intensity, jump, rows.noise[:, 0])


def trend_quantile(rows: Uncertain, probability: float) -> Floats:
    """The quantile (R,) of the trend. Exact for a point estimate: a logistic trend increases with its exponent.

    Posterior draws inside the history: their percentile, as Prophet's. After it their distribution is smoothed a
    little, by a twentieth of their standard deviation, to have a quantile that moves smoothly.
    """
    if rows.trend.shape[1] > 1:
        return _trend_over_draws(rows, probability)
    distance = _side(probability) * trend_half_width(_upper(probability), rows.intensity, rows.jump[:, 0])
    if rows.growth != "logistic":
        return rows.trend[:, 0] + rows.y_scale * distance
    theta, cap = _exponent(rows)
    here, there = (1.0 / (1.0 + np.exp(-np.clip(at, -700, 700))) for at in (theta[:, 0], theta[:, 0] + distance))
    return rows.trend[:, 0] + cap * rows.y_scale * (there - here)


def _trend_over_draws(rows: Uncertain, probability: float) -> Floats:
    inside = np.quantile(rows.trend, probability, axis=1)
    spread = np.maximum(rows.trend.std(axis=1), 1e-9 * np.abs(rows.trend).max(axis=1))[:, None]
    noise = np.repeat(_SMEARING * spread + 1e-300, rows.trend.shape[1], axis=1)
    if rows.growth == "logistic":
        theta, cap = _exponent(rows)
        ones = np.ones_like(rows.trend)
        after = logistic_quantile(
            probability, rows.intensity, theta, rows.jump, cap * rows.y_scale, rows.trend, ones, noise
        )
    else:
        after = linear_draws_quantile(probability, rows.intensity, rows.trend, rows.jump * rows.y_scale, noise)
    return np.where(rows.intensity > 0, after, inside)


def _compat_half_width(rows: Uncertain, probability: float) -> Floats:
    """The law of Prophet's vectorized sampler; rows must be all that are asked for, in ascending order."""
    if rows.growth == "logistic" or rows.yhat.shape[1] > 1:
        raise ValueError("compat intervals are for point estimates of linear or flat growth")
    future = rows.horizon > 0
    if np.count_nonzero(future) == 1:
        raise ValueError("compat intervals need at least two rows after the history: Prophet steps by their distance")
    step = float(np.diff(rows.horizon[future]).mean()) if future.any() and rows.growth == "linear" else 0.0
    jump = np.abs(rows.factor[:, 0]) * rows.laplace_scale[0] * step * rows.y_scale
    steps = np.where(future, np.cumsum(future), 0).astype(np.float64)
    return compat_half_width(probability, steps, min(1.0, rows.rate * step), jump, rows.noise[:, 0])


def _exponent(rows: Uncertain) -> tuple[Floats, Floats]:
    if rows.theta is None or rows.cap is None:
        raise ValueError("logistic growth needs theta and cap")
    return rows.theta, rows.cap


def _upper(probability: float) -> float:
    if not 0.0 < probability < 1.0:
        raise ValueError(f"the probability {probability} is not between 0 and 1")
    return max(probability, 1.0 - probability)


def _side(probability: float) -> float:
    return 1.0 if probability >= 0.5 else -1.0
