"""How far a trend may have wandered from its straight line at some time after the history.

Prophet's documented process (Taylor & Letham 2018, "Forecasting at Scale", section 3.1.4; `sample_predictive_trend`
in prophet 1.5): after the history, changes of slope come as a Poisson process with S of them per unit of scaled time,
each Laplace(0, b). At horizon h the trend is then displaced by b*h*U, with

    U = sum over N of L_i W_i,   N ~ Poisson(S h),   L_i ~ Laplace(0, 1),   W_i ~ Uniform(0, 1),

because a change counts in proportion to the time it has had. U depends on one number, the intensity = S*h, and

    E exp(iuU) = exp(intensity * (arctan(u)/u - 1)).

A Laplace variable is a normal one whose variance is 2E with E exponential. So U given its variance V is N(0, V), and

    E exp(-sV) = exp(intensity * (arctan(w)/w - 1)),   w = sqrt(2s),

whose only singularities lie on s <= -1/2: V's density is had to 13 digits by a contour around them (`spread_nodes`).
Everything else follows from V as sums over a few nodes: P(a U + noise <= x) is a mean of normal distribution
functions, hence smooth, increasing in x, and exact for every probability and every noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MAX_INTENSITY = 60.0  # beyond, U is nearly normal: see `SpreadNodes.at`
_CONTOUR = 20  # points on the upper half of the contour; the error falls as 2.85**(-2*20)
_RARE = 1e-3  # below this intensity the law of U, given that it is not 0, no longer changes


class Spread(NamedTuple):
    """The law of a displacement U, for each of R rows, by J nodes: E g(sqrt(V)) = atom g(0) + sum of weight g(spread).

    atom: (R,) P(U = 0). spread, weight: (R, J), ascending; the weights of a row sum to 1 - atom.
    """

    atom: Floats
    spread: Floats
    weight: Floats


def spread_nodes(intensity: Floats, count: int = 64) -> tuple[Floats, Floats]:
    """Nodes r and weights w, each (R, count), with E g(sqrt(V)) = exp(-intensity) g(0) + sum over nodes of w g(r).

    intensity: (R,), each in (0, MAX_INTENSITY]. The weights of a row sum to P(N > 0) to about 1e-12 at 64 nodes.
    """
    lam = intensity[:, None]
    # P(V > v) <= E exp(0.4 V) / exp(0.4 v): less than 1e-12 lies beyond this.
    last = np.sqrt(69.0 + 1.54 * lam)
    points, measure = np.polynomial.legendre.leggauss(count)
    unit = (points + 1.0) / 2.0
    spread = last * unit**2  # squared, for more nodes near 0, where small noise asks for them
    weight = last * unit * measure * 2.0 * spread * _density(lam, spread**2)
    return spread, np.maximum(weight, 0.0)


def _density(lam: Floats, variance: Floats) -> Floats:
    """V's density where V > 0, by the trapezoidal rule on a parabola (Weideman & Trefethen 2007, Math. Comp. 76).

    lam: (R, 1); variance: (R, J); returns (R, J).
    """
    angle = (2 * np.arange(_CONTOUR) + 1) * np.pi / (2 * _CONTOUR)
    contour = 2 * _CONTOUR * (0.1309 - 0.1194 * angle**2 + 0.25j * angle)
    slope = 2 * _CONTOUR * (-0.2388 * angle + 0.25j)
    total = np.zeros(variance.shape)
    for z, step in zip(contour, np.exp(contour) * slope, strict=True):
        w = np.sqrt(2.0 * z / variance)
        transform = np.exp(-lam) * np.expm1(lam * np.arctan(w) / w)  # without the atom at V = 0
        total += (step * transform).imag
    return total / (_CONTOUR * variance)


@dataclass(frozen=True)
class SpreadNodes:
    """`spread_nodes` on a grid of intensities, read between them linearly: microseconds a row, error about 1e-4.

    log_intensity: (G,) evenly spaced; unit: (J,), the nodes as a share of the last; share: (G, J), weights that
    sum to 1, that is given N > 0.
    """

    log_intensity: Floats
    unit: Floats
    share: Floats

    @classmethod
    def build(cls, count: int, grid: int = 256) -> SpreadNodes:
        log_intensity = np.linspace(np.log(_RARE), np.log(MAX_INTENSITY), grid)
        spread, weight = spread_nodes(np.exp(log_intensity), count)
        unit = spread[0] / np.sqrt(69.0 + 1.54 * np.exp(log_intensity[0]))
        return cls(log_intensity, unit, weight / weight.sum(axis=1, keepdims=True))

    def at(self, intensity: Floats) -> Spread:
        """The law of U for any intensity >= 0, (R,).

        Above MAX_INTENSITY, V keeps the shape it has there, with the mean 2/3 lambda and the variance 8/5 lambda
        of the intensity asked for; what that misses is of the order 1/lambda**2.
        """
        known = np.clip(intensity, _RARE, MAX_INTENSITY)
        place = (np.log(known) - self.log_intensity[0]) / (self.log_intensity[1] - self.log_intensity[0])
        left = np.minimum(place.astype(np.intp), len(self.log_intensity) - 2)
        part = (place - left)[:, None]
        share = (1.0 - part) * self.share[left] + part * self.share[left + 1]
        variance = (69.0 + 1.54 * known)[:, None] * self.unit**2
        narrowing = np.sqrt(MAX_INTENSITY / np.maximum(intensity, MAX_INTENSITY))[:, None]
        mean = (2.0 / 3.0 * known)[:, None]
        growth = (np.maximum(intensity, MAX_INTENSITY) / MAX_INTENSITY)[:, None]
        variance = growth * np.where(narrowing < 1.0, mean + (variance - mean) * narrowing, variance)
        return Spread(np.exp(-intensity), np.sqrt(variance), -np.expm1(-intensity)[:, None] * share)


@lru_cache(maxsize=4)
def process_nodes(count: int) -> SpreadNodes:
    """The documented process's law by `count` nodes; built once in some hundredths of a second."""
    return SpreadNodes.build(count)
