"""Quantiles where one number a row does not say everything: logistic growth, and posterior draws.

R rows, D draws, both in that order, so that a row's sums never depend on how many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from forecasting.trend_law import MAX_INTENSITY, Floats, SpreadNodes

_SQRT_2PI = float(np.sqrt(2.0 * np.pi))
_CELLS = 32  # of |U|, a side
_FLAT = 1e-4  # a cell narrower than this share of the noise is a point

Law = Callable[[Floats], tuple[Floats, Floats]]


@lru_cache(maxsize=2)
def _nodes(count: int) -> SpreadNodes:
    return SpreadNodes.build(count)


def linear_draws_quantile(probability: float, intensity: Floats, centre: Floats, jump: Floats, noise: Floats) -> Floats:
    """The quantile (R,) of the mixture over draws of centre + jump * U + noise * Z.

    intensity: (R,); centre, jump, noise: (R, D) in one unit.
    """
    atom, spread, weight = _nodes(24).at(intensity)
    mass = np.concatenate([atom[:, None], weight], axis=1)
    scales = [np.maximum(noise, 1e-300), *(np.hypot(spread[:, j, None] * jump, noise) for j in range(24))]

    def law(x: Floats) -> tuple[Floats, Floats]:
        below, density = np.zeros(len(x)), np.zeros(len(x))
        distance = x[:, None] - centre
        for j, scale in enumerate(scales):
            z = np.clip(distance / scale, -40.0, 40.0)
            below += mass[:, j] * ndtr(z).mean(axis=1)
            density += mass[:, j] * (np.exp(-0.5 * z**2) / scale).mean(axis=1) / _SQRT_2PI
        return below, density

    reach = 10.0 * noise + 40.0 * jump * np.sqrt(1.0 + intensity)[:, None]
    variance = noise**2 + jump**2 * (2.0 / 3.0 * intensity)[:, None]
    start = _guess(probability, centre, variance)
    return solve_increasing(law, probability, (centre - reach).min(axis=1), (centre + reach).max(axis=1), start)


def logistic_quantile(
    probability: float,
    intensity: Floats,
    theta: Floats,
    jump: Floats,
    cap: Floats,
    centre: Floats,
    factor: Floats,
    noise: Floats,
) -> Floats:
    """The quantile (R,) of the mixture over draws of centre + factor * (g(theta + jump * U) - g(theta)) + noise * Z.

    g(theta) = cap / (1 + exp(-theta)). Prophet's gammas keep the exponent continuous, so a future change of rate
    moves it as it moves a linear trend. U is taken as uniform within each of a few cells, where g is nearly straight:
    then each cell's part of the distribution function is closed, for much noise and for none.

    intensity: (R,); cap: (R,), in the unit of centre; theta, jump (= b*h, of the exponent), centre, factor
    (= 1 + multiplicative), noise: (R, D).
    """
    atom, edges, cell = _cells(intensity)
    here = _squashed(theta, cap)[:, :, None]
    moved = (_squashed(theta[:, :, None] + edges[:, None, :] * jump[:, :, None], cap[:, None]) - here) * factor[
        :, :, None
    ]
    sigma = np.maximum(noise, 1e-12 * np.maximum(cap[:, None], np.abs(centre)))
    heights = moved / sigma[:, :, None]
    widths = np.diff(heights, axis=2)
    narrow = np.abs(widths) < _FLAT
    share = cell[:, None, :] / np.where(narrow, 1.0, widths)

    def law(x: Floats) -> tuple[Floats, Floats]:
        z = (x[:, None] - centre) / sigma
        below, slope = _cells_below(z[:, :, None] - heights, narrow, share)
        below = below.sum(axis=2) + atom[:, None] * ndtr(z)
        slope = slope.sum(axis=2) + atom[:, None] * _normal(z)
        return below.mean(axis=1), (slope / sigma).mean(axis=1)

    middle = (moved[:, :, 1:] + moved[:, :, :-1]) / 2.0
    variance = noise**2 + (cell[:, None, :] * middle**2).sum(axis=2)
    reach = np.abs(moved).max(axis=2) + 10.0 * sigma
    return solve_increasing(
        law,
        probability,
        (centre - reach).min(axis=1),
        (centre + reach).max(axis=1),
        _guess(probability, centre, variance),
    )


def _guess(probability: float, centre: Floats, variance: Floats) -> Floats:
    """A normal variable's quantile (R,), from each draw's mean and variance (R, D): where to start looking."""
    spread = np.sqrt(variance.mean(axis=1) + centre.var(axis=1))
    return np.asarray(centre.mean(axis=1) + float(ndtri(probability)) * spread)


def solve_increasing(law: Law, probability: float, low: Floats, high: Floats, start: Floats) -> Floats:
    """x (R,) between low and high where law(x)[0] = probability; law gives a distribution function and its density.

    Newton's steps, halving the bracket where they leave it. A row that has arrived is not touched again, so it does
    not notice how long the others take.
    """
    low, high = low.copy(), high.copy()
    x = np.clip(start, low, high)
    arrived = np.zeros(len(x), dtype=np.bool_)
    for _ in range(200):
        below, density = law(x)
        missing = probability - below
        low = np.where(missing > 0, x, low)
        high = np.where(missing > 0, high, x)
        step = missing / np.maximum(density, 1e-300)
        following = np.where((x + step > low) & (x + step < high), x + step, 0.5 * (low + high))
        # As exact as doubles can be asked for: the law's own sum carries 1e-14 of rounding.
        small = (np.abs(missing) < 1e-13) | (high - low <= 1e-13 * np.maximum(np.abs(low), np.abs(high)))
        x = np.where(arrived | small, x, following)
        arrived |= small
        if arrived.all():
            break
    return x


def _cells(intensity: Floats) -> tuple[Floats, Floats, Floats]:
    """P(U = 0) (R,), edges of cells of U (R, 2 * _CELLS + 1) from left to right, and P(U in the cell, U != 0)."""
    atom, spread, weight = _nodes(32).at(intensity)
    known = np.minimum(intensity, MAX_INTENSITY)
    # P(U > x) <= E exp(sU) / exp(sx) for s = 0.8 and 0.5: less than 1e-6 lies beyond.
    last = np.minimum(17.5 + 0.47 * known, 28.0 + 0.2 * known) * np.sqrt(np.maximum(intensity / MAX_INTENSITY, 1.0))
    right = last[:, None] * np.linspace(0.0, 1.0, _CELLS + 1) ** 2.5
    above = np.zeros(right.shape)
    for node in range(spread.shape[1]):
        above += weight[:, node, None] * ndtr(-right / spread[:, node, None])
    above[:, -1] = 0.0
    mass = -np.diff(above, axis=1)
    edges = np.concatenate([-right[:, :0:-1], right], axis=1)
    return atom, edges, np.concatenate([mass[:, ::-1], mass], axis=1)


def _cells_below(distance: Floats, narrow: npt.NDArray[np.bool_], share: Floats) -> tuple[Floats, Floats]:
    """For each cell its mass times P(Y + Z <= z), Y uniform in the cell and Z standard normal, and the derivative in z.

    distance: (R, D, E), z minus each edge; share: (R, D, E - 1), the cell's mass over its width, or the mass itself
    where the cell is so narrow that the difference quotient would lose its digits, and its middle says as much.
    """
    at_edge = ndtr(distance)
    integral = distance * at_edge + _normal(distance)
    below = -np.diff(integral, axis=2) * share
    slope = -np.diff(at_edge, axis=2) * share
    if narrow.any():
        middle = ((distance[:, :, 1:] + distance[:, :, :-1]) / 2.0)[narrow]
        below[narrow] = ndtr(middle) * share[narrow]
        slope[narrow] = _normal(middle) * share[narrow]
    return below, slope


def _normal(z: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * np.minimum(np.abs(z), 40.0) ** 2) / _SQRT_2PI)


def _squashed(theta: Floats, cap: Floats) -> Floats:
    """cap / (1 + exp(-theta)); cap has all of theta's axes but the last."""
    return np.asarray(cap[..., None] / (1.0 + np.exp(-np.clip(theta, -700.0, 700.0))))


def compat_half_width(probability: float, steps: Floats, likelihood: float, jump: Floats, noise: Floats) -> Floats:
    """The half-width (R,) that Prophet 1.5's vectorized sampler (linear growth) gives with infinitely many samples.

    At the j-th of the future rows asked for, it has drawn at each earlier one a change with probability `likelihood`
    = min(1, S*dt), counted for j - i + 1/2 steps of the mean length dt; so the width depends on which rows are asked.
    steps: (R,) j = 1, 2, ..., 0 for rows inside the history; jump: (R,) a*b*dt; noise: (R,), both in data units.
    By Gil-Pelaez inversion of the product of characteristic functions; noise below 1 % of the trend's standard
    deviation is taken as 1 %.
    """
    result = np.asarray(float(ndtri(probability)) * noise, dtype=np.float64)
    for row in np.flatnonzero((steps > 0) & (jump > 0)):
        lags = jump[row] * (np.arange(1, int(steps[row]) + 1) - 0.5)
        deviation = float(np.sqrt(2.0 * likelihood * np.sum(lags**2)))
        sigma = max(float(noise[row]), 0.01 * deviation)
        if sigma > 1e8 * deviation:
            continue
        reach = 10.0 * sigma + 12.0 * deviation + 25.0 * float(lags[-1])
        u = (np.arange(int(np.ceil(7.5 / sigma * reach / np.pi))) + 0.5) * np.pi / reach
        log_phi = -0.5 * (sigma * u) ** 2
        for lag in lags:
            log_phi += (
                np.log1p(-likelihood * (lag * u) ** 2 / (1.0 + (lag * u) ** 2))
                if likelihood < 1
                else -np.log1p((lag * u) ** 2)
            )
        weight = np.exp(log_phi) / (u * reach)
        result[row] = _invert(probability, u, weight, reach)
    return result


def _invert(probability: float, u: Floats, weight: Floats, reach: float) -> float:
    """x > 0 with 1/2 + sum of sin(x u) weight = probability."""
    x, low, high = 0.0, 0.0, reach
    for _ in range(100):
        missing = probability - 0.5 - float(np.sum(np.sin(x * u) * weight))
        low, high = (x, high) if missing > 0 else (low, x)
        following = x + missing / max(float(np.sum(np.cos(x * u) * weight * u)), 1e-300)
        following = following if low < following < high else 0.5 * (low + high)
        if abs(following - x) <= 1e-13 * reach:
            break
        x = following
    return x
