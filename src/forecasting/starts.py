"""Where to begin climbing a posterior that may have several modes.

A start need not be good, only in the basin of a high mode: the linear model of the same features has the shape of
the seasonality, and its trend, read as a curve below the cap, that of the growth.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecasting.linear import Normal, solve_linear
from forecasting.posterior import Floats, MapParameters, MapProblem, NoFiniteOptimum

_NEAREST = 0.01  # how near to 0 and to the cap a share of the cap is taken to be, at most


def starts(problem: MapProblem, first: MapParameters) -> list[MapParameters]:
    """The first start and those that the linear model of the same features suggests, as far as it has an optimum."""
    plain = replace(
        problem,
        growth="linear" if problem.growth == "logistic" else problem.growth,
        additive=np.ones_like(problem.additive),
        multiplicative=np.zeros_like(problem.multiplicative),
    )
    suggest = _logistic_starts if problem.growth == "logistic" else _multiplicative_starts
    try:
        return [first, *suggest(problem, Normal.of(plain))]
    except NoFiniteOptimum:
        return [first]


def _multiplicative_starts(problem: MapProblem, plain: Normal) -> list[MapParameters]:
    """The linear model itself."""
    found = solve_linear(plain, problem.y).parameters
    return [replace(found, beta=_as_shares(problem, found.beta, float(np.mean(problem.y))))]


def _logistic_starts(problem: MapProblem, plain: Normal) -> list[MapParameters]:
    """The trend of the log odds of y / cap, and the log odds of the trend of y / cap: either may be the better one."""
    share = problem.y / problem.cap
    below = solve_linear(plain, share).parameters
    odds = solve_linear(plain, _log_odds(share)).parameters
    beta = _as_shares(problem, below.beta * float(np.mean(problem.cap)), float(np.mean(problem.y)))
    # The second is linear between the changepoints, where it takes the log odds of the trend.
    knots = np.concatenate([[0.0], problem.changepoints_t, [1.0]])
    trend = below.k * knots + below.m + np.maximum(knots[:, None] - problem.changepoints_t, 0.0) @ below.delta
    heights, lengths = _log_odds(trend), np.diff(knots)
    slopes = np.divide(np.diff(heights), lengths, out=np.zeros_like(lengths), where=lengths > 0.0)
    return [
        _logistic(odds.k, odds.m, odds.delta, beta),
        _logistic(float(slopes[0]), float(heights[0]), np.diff(slopes), beta),
    ]


def _logistic(k: float, offset: float, delta: Floats, beta: Floats) -> MapParameters:
    """The parameters of logistic growth whose exponent begins at an offset, with a rate that is not 0."""
    rate = k if abs(k) > 1e-3 else 1e-3
    return MapParameters(rate, -offset / rate, delta, beta, 1.0)


def beyond_zero(at: MapParameters, changepoints_t: Floats) -> MapParameters | None:
    """A logistic start with the other sign of k and the same curve but for its beginning; None if there is none.

    m = -c / k has a prior, so that k cannot climb through 0. The first slope of the other sign becomes the rate.
    """
    slopes = at.k + np.cumsum(at.delta)
    turned = np.flatnonzero(slopes * at.k < 0.0)
    if len(turned) == 0:
        return None
    first, delta = int(turned[0]), at.delta.copy()
    offset = -at.k * at.m - float(delta[: first + 1] @ changepoints_t[: first + 1])
    delta[: first + 1] = 0.0
    return replace(at, k=float(slopes[first]), m=float(-offset / slopes[first]), delta=delta)


def _as_shares(problem: MapProblem, beta: Floats, level: float) -> Floats:
    """Additive coefficients (K,), those of multiplicative features divided by the level that they multiply."""
    shares = beta / (level or 1.0)
    return np.where(problem.multiplicative != 0.0, shares, beta * (problem.additive != 0.0))


def _log_odds(share: Floats) -> Floats:
    near = np.clip(share, _NEAREST, 1.0 - _NEAREST)
    return np.asarray(np.log(near / (1.0 - near)))


def initial_values(problem: MapProblem) -> MapParameters:
    """Where Prophet starts Stan: the trend through the first and the last point, all else 0, sigma 1.

    Source: Prophet.linear_growth_init, logistic_growth_init and flat_growth_init of prophet 1.5.0.
    """
    t, y = problem.t, problem.y
    span = t[-1] - t[0]
    if problem.growth == "flat":
        k, m = 0.0, float(y.mean())
    elif problem.growth == "linear":
        k = float((y[-1] - y[0]) / span)
        m = float(y[0] - k * t[0])
    else:
        caps = problem.cap[[0, -1]]
        ratios = caps / np.clip(y[[0, -1]], 0.01 * caps, 0.99 * caps)
        if abs(ratios[0] - ratios[1]) <= 0.01:
            ratios[0] *= 1.05
        low, high = np.log(ratios - 1.0)
        k, m = float((low - high) / span), float(low * span / (low - high))
    return MapParameters(k, m, np.zeros(len(problem.changepoints_t)), np.zeros(problem.features.shape[1]), 1.0)
