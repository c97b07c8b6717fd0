"""The trend of a Prophet: a piecewise-linear function of scaled time, for logistic growth inside a sigmoid.

t is Prophet's scaled time, 0 at the first row of the history and 1 at its last. S is the number of changepoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Growth = Literal["linear", "logistic", "flat"]

GROWTHS: tuple[Growth, Growth, Growth] = ("linear", "logistic", "flat")
_LARGEST_EXPONENT = 700.0  # exp overflows at 709; a sigmoid there is 0 to the last digit


@dataclass(frozen=True)
class Lines:
    """theta(t) = slopes[i] t + intercepts[i], where i counts the changepoints at or before t.

    changepoints: (S,) ascending; slopes, intercepts: (S + 1,). Continuous, and so indifferent to ties.
    """

    changepoints: Floats
    slopes: Floats
    intercepts: Floats

    def at(self, t: Floats) -> Floats:
        """theta at each t."""
        piece = self.changepoints.searchsorted(t, side="right")
        values: Floats = self.slopes[piece] * t + self.intercepts[piece]
        return values


def lines(growth: Growth, k: float, m: float, delta: Floats, changepoints: Floats) -> Lines:
    """The lines of a trend with base rate k, offset m and rate changes delta (S,) at the changepoints (S,).

    Linear: k t + m + sum_j delta_j (t - s_j)+ (Prophet.piecewise_linear). Flat: m.
    Logistic: Prophet's recursion for gamma only keeps k(t) (t - m(t)) continuous, so that this product is
    k (t - m) + sum_j delta_j (t - s_j)+. Written so, a rate that passes through 0 divides by nothing.
    """
    if growth == "flat":
        return Lines(np.empty(0), np.zeros(1), np.full(1, m))
    intercept = m if growth == "linear" else -k * m
    slopes = k + np.concatenate(([0.0], np.cumsum(delta)))
    intercepts = intercept - np.concatenate(([0.0], np.cumsum(delta * changepoints)))
    return Lines(changepoints, slopes, intercepts)


def sigmoid(theta: Floats) -> Floats:
    """1 / (1 + exp(-theta)), without overflow."""
    values: Floats = 1.0 / (1.0 + np.exp(-np.maximum(theta, -_LARGEST_EXPONENT)))
    return values
