"""Quantiles where one number a row does not say everything: logistic growth, and posterior draws.

R rows, D draws, both in that order, so that a row's sums never depend on how many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from forecasting.normal import cumulative, quantile
from forecasting.trend_law import Floats, Spread

_SQRT_2PI = float(np.sqrt(2.0 * np.pi))
_CELLS = 32  # of |U|, a side
_FLAT = 1e-4  # a cell narrower than this share of the noise is a point

Below = Callable[[Floats], tuple[Floats, Floats]]  # x -> the probability below x, and its derivative; each (R,)


def linear_draws_quantile(probability: float, law: Spread, centre: Floats, jump: Floats, noise: Floats) -> Floats:
    """The quantile (R,) of the mixture over draws of centre + jump * U + noise * Z.

    law: of U at the R rows; centre, jump, noise: (R, D) in one unit.
    """
    mass = np.concatenate([law.atom[:, None], law.weight], axis=1)
    scales = [np.maximum(noise, 1e-300), *(np.hypot(own[:, None] * jump, noise) for own in law.spread.T)]

    def below(x: Floats) -> tuple[Floats, Floats]:
        share, density = np.zeros(len(x)), np.zeros(len(x))
        distance = x[:, None] - centre
        for j, scale in enumerate(scales):
            z = np.clip(distance / scale, -40.0, 40.0)
            share += mass[:, j] * cumulative(z).mean(axis=1)
            density += mass[:, j] * (np.exp(-0.5 * z**2) / scale).mean(axis=1) / _SQRT_2PI
        return share, density

    reach = 10.0 * noise + 10.0 * jump * law.spread.max(axis=1, keepdims=True)
    variance = noise**2 + jump**2 * (law.weight * law.spread**2).sum(axis=1, keepdims=True)
    start = _guess(probability, centre, variance)
    return solve_increasing(below, probability, (centre - reach).min(axis=1), (centre + reach).max(axis=1), start)


def logistic_quantile(
    probability: float,
    law: Spread,
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

    law: of U at the R rows; cap: (R,), in the unit of centre; theta, jump (of the exponent), centre, factor
    (= 1 + multiplicative), noise: (R, D).
    """
    edges, cell = _cells(law)
    moved = _moved(theta, jump, cap, edges) * factor[:, :, None]
    sigma = np.maximum(noise, 1e-12 * np.maximum(cap[:, None], np.abs(centre)))
    heights = moved / sigma[:, :, None]
    widths = np.diff(heights, axis=2)
    narrow = np.abs(widths) < _FLAT
    share = cell[:, None, :] / np.where(narrow, 1.0, widths)

    def below(x: Floats) -> tuple[Floats, Floats]:
        z = (x[:, None] - centre) / sigma
        share_below, slope = _cells_below(z[:, :, None] - heights, narrow, share)
        share_below = share_below.sum(axis=2) + law.atom[:, None] * cumulative(z)
        slope = slope.sum(axis=2) + law.atom[:, None] * _normal(z)
        return share_below.mean(axis=1), (slope / sigma).mean(axis=1)

    middle = (moved[:, :, 1:] + moved[:, :, :-1]) / 2.0
    variance = noise**2 + (cell[:, None, :] * middle**2).sum(axis=2)
    reach = np.abs(moved).max(axis=2) + 10.0 * sigma
    return solve_increasing(
        below,
        probability,
        (centre - reach).min(axis=1),
        (centre + reach).max(axis=1),
        _guess(probability, centre, variance),
    )


def logistic_mean(law: Spread, theta: Floats, jump: Floats, cap: Floats) -> Floats:
    """The mean (R, D) of g(theta + jump * U) - g(theta); arguments as for `logistic_quantile`."""
    edges, cell = _cells(law)
    mean = np.empty(theta.shape)
    for draw in range(theta.shape[1]):
        moved = _moved(theta[:, draw, None], jump[:, draw, None], cap, edges)[:, 0]
        mean[:, draw] = (cell * (moved[:, 1:] + moved[:, :-1]) / 2.0).sum(axis=1)
    return mean


def _guess(probability: float, centre: Floats, variance: Floats) -> Floats:
    """A normal variable's quantile (R,), from each draw's mean and variance (R, D): where to start looking."""
    spread = np.sqrt(variance.mean(axis=1) + centre.var(axis=1))
    return np.asarray(centre.mean(axis=1) + quantile(probability) * spread)


def solve_increasing(below: Below, probability: float, low: Floats, high: Floats, start: Floats) -> Floats:
    """x (R,) between low and high where below(x)[0] = probability.

    Newton's steps, halving the bracket where they leave it. A row that has arrived is not touched again, so it does
    not notice how long the others take.
    """
    low, high = low.copy(), high.copy()
    x = np.clip(start, low, high)
    arrived = np.zeros(len(x), dtype=np.bool_)
    for _ in range(200):
        share, density = below(x)
        missing = probability - share
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


def _cells(law: Spread) -> tuple[Floats, Floats]:
    """Edges of cells of U (R, 2 * _CELLS + 1) from left to right, and P(U in the cell, U != 0) (R, 2 * _CELLS)."""
    # P(U > x) <= sum of weight * exp(-(x / spread)^2 / 2): beyond the last edge lies less than 1e-6 of what moves.
    share = law.weight / np.maximum(1.0 - law.atom, 1e-300)[:, None]
    last = (law.spread * np.sqrt(2.0 * np.log1p(1e7 * share))).max(axis=1)
    right = last[:, None] * np.linspace(0.0, 1.0, _CELLS + 1) ** 2.5
    tails = cumulative(-right[:, None] / law.spread[:, :, None])  # (R, nodes, edges)
    tails *= law.weight[:, :, None]
    above = tails.sum(axis=1)
    above[:, -1] = 0.0
    mass = -np.diff(above, axis=1)
    edges = np.concatenate([-right[:, :0:-1], right], axis=1)
    return edges, np.concatenate([mass[:, ::-1], mass], axis=1)


def _moved(theta: Floats, jump: Floats, cap: Floats, edges: Floats) -> Floats:
    """g(theta + jump * edge) - g(theta), (R, D, E), at edges (R, E)."""
    there = _squashed(theta[:, :, None] + edges[:, None, :] * jump[:, :, None], cap[:, None])
    return np.asarray(there - _squashed(theta, cap)[:, :, None])


def _cells_below(distance: Floats, narrow: npt.NDArray[np.bool_], share: Floats) -> tuple[Floats, Floats]:
    """For each cell its mass times P(Y + Z <= z), Y uniform in the cell and Z standard normal, and the derivative in z.

    distance: (R, D, E), z minus each edge; share: (R, D, E - 1), the cell's mass over its width, or the mass itself
    where the cell is so narrow that the difference quotient would lose its digits, and its middle says as much.
    """
    at_edge = cumulative(distance)
    integral = distance * at_edge + _normal(distance)
    below = -np.diff(integral, axis=2) * share
    slope = -np.diff(at_edge, axis=2) * share
    if narrow.any():
        middle = ((distance[:, :, 1:] + distance[:, :, :-1]) / 2.0)[narrow]
        below[narrow] = cumulative(middle) * share[narrow]
        slope[narrow] = _normal(middle) * share[narrow]
    return below, slope


def _normal(z: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * np.minimum(np.abs(z), 40.0) ** 2) / _SQRT_2PI)


def _squashed(theta: Floats, cap: Floats) -> Floats:
    """cap / (1 + exp(-theta)); cap has all of theta's axes but the last."""
    return np.asarray(cap[..., None] / (1.0 + np.exp(-np.clip(theta, -700.0, 700.0))))
