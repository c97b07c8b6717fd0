"""Prediction intervals in closed form: the same request always gets the same answer, a row's does not depend on others.

The law is the one that Prophet documents and samples with `vectorized=False` (see `trend_law`), with infinitely many
samples. It differs from what Prophet's default, vectorized sampler gives in three ways: no sampling noise, no
dependence on which rows are asked for, and for logistic growth the interval is not shifted so that its mean is yhat
(yhat is the median of the process). `compat` puts the default sampler's law in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import Enum

import numpy as np

from forecasting.interval_table import linear_half_width, solve_half_width, trend_half_width, upper_tail
from forecasting.mixture_intervals import linear_draws_quantile, logistic_quantile
from forecasting.trend import Growth, sigmoid
from forecasting.trend_law import Floats, Spread, process_nodes

_SMEARING = 0.05  # of the draws' standard deviation: finitely many draws of a trend have no smooth quantile
_PIECE = 4096  # rows times draws that are worked on at once: a row's arrays are up to 65 times as long


class Mode(Enum):
    """Which law: the documented process, or that of Prophet's vectorized sampler."""

    PROCESS = "process"
    COMPAT = "compat"


@dataclass(frozen=True, eq=False)
class Uncertain:
    """What an interval needs to know of rows that are alike in growth. R rows, D draws (1 for a point estimate).

    intensity: (R,), how many changes of slope are expected until the row; 0 inside the history and for flat growth.
    yhat, trend, noise: (R, D), in the unit of y. factor: (R, D), 1 + multiplicative.
    jump: (R, D), by how much a change of one Laplace scale at the end of the history moves the trend, in the unit of
    y, or for logistic growth its exponent. theta: (R, D), that exponent, and cap: (R,), cap - floor in the unit of y;
    both None for other growths. law: of the displacement in units of jump; None for the documented process.
    """

    growth: Growth
    intensity: Floats
    yhat: Floats
    trend: Floats
    factor: Floats
    noise: Floats
    jump: Floats
    theta: Floats | None = None
    cap: Floats | None = None
    law: Spread | None = None

    def spread(self, count: int) -> Spread:
        """The law of the displacement; the documented process's by `count` nodes."""
        return process_nodes(count).at(self.intensity) if self.law is None else self.law

    def take(self, rows: slice) -> Uncertain:
        """Some of the rows."""
        own = {name: value[rows] for name in _ARRAYS if (value := getattr(self, name)) is not None}
        law = self.law and Spread(*(part[rows] for part in self.law))
        return replace(self, **own, law=law)


Quantile = Callable[[Uncertain, float], Floats]
_ARRAYS = tuple(field.name for field in fields(Uncertain) if field.name not in ("growth", "law"))


@dataclass(frozen=True, eq=False)
class Bounds:
    """Each (R,), in the unit of y."""

    yhat_lower: Floats
    yhat_upper: Floats
    trend_lower: Floats
    trend_upper: Floats


def bounds(rows: Uncertain, interval_width: float) -> Bounds:
    """The central interval of yhat and trend that holds interval_width of the probability.

    Raises ValueError unless 0 < interval_width < 1. With 300 draws a row takes about a millisecond.
    """
    upper = upper_tail(interval_width)
    yhat = yhat_quantiles(rows, (1.0 - upper, upper))
    trend = trend_quantiles(rows, (1.0 - upper, upper))
    return Bounds(yhat[:, 0], yhat[:, 1], trend[:, 0], trend[:, 1])


def yhat_quantiles(rows: Uncertain, probabilities: tuple[float, ...]) -> Floats:
    """The quantiles (R, P) of an observation at each row, for probabilities between 0 and 1."""
    return _by_pieces(_yhat_quantile, rows, probabilities)


def trend_quantiles(rows: Uncertain, probabilities: tuple[float, ...]) -> Floats:
    """The quantiles (R, P) of the trend. Exact for a point estimate: a logistic trend increases with its exponent.

    Posterior draws inside the history: their percentile, as Prophet's. After it their distribution is smoothed a
    little, by a twentieth of their standard deviation, to have a quantile that moves smoothly.
    """
    return _by_pieces(_trend_quantile if rows.trend.shape[1] == 1 else _trend_over_draws, rows, probabilities)


def _by_pieces(quantile: Quantile, rows: Uncertain, probabilities: tuple[float, ...]) -> Floats:
    """Every row and probability, a bounded number of rows at a time."""
    for probability in probabilities:
        if not 0.0 < probability < 1.0:
            raise ValueError(f"the probability {probability} is not between 0 and 1")
    count, draws = rows.yhat.shape
    size = max(1, _PIECE // draws)
    result = np.empty((count, len(probabilities)))
    for first in range(0, count, size):
        own = slice(first, first + size)
        piece = rows.take(own) if count > size else rows
        for place, probability in enumerate(probabilities):
            result[own, place] = quantile(piece, probability)
    return result


def _yhat_quantile(rows: Uncertain, probability: float) -> Floats:
    if rows.growth == "logistic":
        theta, cap = _exponent(rows)
        return logistic_quantile(
            probability, rows.spread(32), theta, rows.jump, cap, rows.yhat, rows.factor, rows.noise
        )
    jump = rows.jump * np.abs(rows.factor)
    if rows.yhat.shape[1] > 1:
        return linear_draws_quantile(probability, rows.spread(24), rows.yhat, jump, rows.noise)
    upper = max(probability, 1.0 - probability)
    if rows.law is None:
        half = linear_half_width(upper, rows.intensity, jump[:, 0], rows.noise[:, 0])
    else:
        half = solve_half_width(upper, rows.law.atom, rows.law.spread * jump, rows.law.weight, rows.noise)
    return rows.yhat[:, 0] + _side(probability) * half


def _trend_quantile(rows: Uncertain, probability: float) -> Floats:
    upper, jump = max(probability, 1.0 - probability), rows.jump[:, 0]
    if rows.law is None:
        half = trend_half_width(upper, rows.intensity, jump)
    else:
        half = jump * solve_half_width(upper, *rows.law, noise=np.zeros((len(jump), 1)))
    distance = _side(probability) * half
    if rows.growth != "logistic":
        return rows.trend[:, 0] + distance
    theta, cap = _exponent(rows)
    return rows.trend[:, 0] + cap * (sigmoid(theta[:, 0] + distance) - sigmoid(theta[:, 0]))


def _trend_over_draws(rows: Uncertain, probability: float) -> Floats:
    inside = np.quantile(rows.trend, probability, axis=1)
    spread = np.maximum(rows.trend.std(axis=1), 1e-9 * np.abs(rows.trend).max(axis=1))[:, None]
    noise = np.repeat(_SMEARING * spread + 1e-300, rows.trend.shape[1], axis=1)
    if rows.growth == "logistic":
        theta, cap = _exponent(rows)
        ones = np.ones_like(rows.trend)
        after = logistic_quantile(probability, rows.spread(32), theta, rows.jump, cap, rows.trend, ones, noise)
    else:
        after = linear_draws_quantile(probability, rows.spread(24), rows.trend, rows.jump, noise)
    return np.where(rows.intensity > 0, after, inside)


def _exponent(rows: Uncertain) -> tuple[Floats, Floats]:
    if rows.theta is None or rows.cap is None:
        raise ValueError("logistic growth needs theta and cap")
    return rows.theta, rows.cap


def _side(probability: float) -> float:
    return 1.0 if probability >= 0.5 else -1.0
