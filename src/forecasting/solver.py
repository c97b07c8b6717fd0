"""The exact maximum of Prophet's posterior, in process.

A model that is linear in its parameters (linear or flat growth, additive features) is a lasso given sigma, and
sigma is in closed form given the rest. The others, with multiplicative features or logistic growth, are a
sequence of such lassos (`curved`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forecasting import kernels
from forecasting.curved import CurvedModel, climb
from forecasting.posterior import Floats, MapParameters, MapProblem, NoFiniteOptimum

SOLVER = "exact"
_PERFECT = 1e-14  # sigma^2 below this share of the mean square of y: the fit is perfect up to rounding
_FEW_ROWS = 4  # below so many rows a parameter, the posterior may have a second mode at a smaller sigma
_LOW_START = 1e-6  # that mode is sought from this share of the mean square of y


@dataclass(frozen=True)
class MapSolution:
    """A maximum of the posterior: where, how high (as Stan's lp__), after how many rounds of the solver."""

    parameters: MapParameters
    log_posterior: float
    rounds: int


@dataclass(frozen=True)
class Normal:
    """A linear design with what all series on it share: rows (T, n), gram = rows' rows (n, n), priors.

    The columns are k, m, the features, the hinges; ridge: (n,) precisions of the normal priors, 0 for delta.
    """

    rows: Floats
    gram: Floats
    ridge: Floats
    n_features: int
    changepoint_scale: float

    @classmethod
    def of(cls, problem: MapProblem) -> Normal:
        """The design of a problem whose `is_linear` is true; flat growth leaves the columns of k and delta empty."""
        flat = problem.growth == "flat"
        slope = np.zeros_like(problem.t) if flat else problem.t
        hinges = problem.hinges()
        rows = np.column_stack(
            [slope, np.ones_like(problem.t), problem.features * problem.additive, hinges * (not flat)]
        )
        return cls(rows, rows.T @ rows, problem.ridge(), problem.features.shape[1], problem.changepoint_scale)

    def loss(self, y: Floats, theta: Floats, variance: float) -> float:
        """Minus the log posterior of a series (T,) at theta (n,) and sigma^2 = variance."""
        residual = y - self.rows @ theta
        penalty = 0.5 * theta @ (self.ridge * theta)
        penalty += np.abs(theta[2 + self.n_features :]).sum() / self.changepoint_scale
        likelihood = 0.5 * len(y) * np.log(variance) + residual @ residual / (2.0 * variance)
        return float(likelihood + 2.0 * variance + penalty)


def solve(problem: MapProblem, start: MapParameters | None = None, normal: Normal | None = None) -> MapSolution:
    """The maximum of the posterior.

    start: where to look first when the model is not linear; Prophet's own initial values are good ones.
    normal: `Normal.of(problem)`, where it is known from another series of a linear model on the same features.
    Raises NoFiniteOptimum when the fit can be made perfect, so that sigma would go to 0 and the posterior to
    infinity, when the data are not finite, or when rounding keeps the solver from the optimum.
    """
    checked = (problem.y, problem.cap, problem.t, *(() if normal else (problem.features,)))
    if not all(np.isfinite(part).all() for part in checked):
        raise NoFiniteOptimum("the scaled history or its features hold values that are not finite")
    if not np.any(problem.y):
        raise NoFiniteOptimum("every y is 0, and a perfect fit has no finite optimum")
    if problem.is_linear:
        solution = _solve_linear(normal or Normal.of(problem), problem.y)
    else:
        solution = _solve_curved(problem, start)
    if not np.isfinite(solution.log_posterior):
        raise NoFiniteOptimum("the solver ended where the posterior is not finite")
    return solution


def _solve_linear(normal: Normal, y: Floats) -> MapSolution:
    """The maximum for one series, (T,), on a linear design.

    The rounds start above every fixed point. With few rows there may be a higher maximum at a smaller sigma,
    short of the infinite one at sigma 0, so they start from below as well and the higher end is taken.
    """
    mean_square = float(y @ y) / len(y)
    starts = [mean_square]
    if len(y) < _FEW_ROWS * len(normal.ridge):
        starts.append(mean_square * _LOW_START)
    n_smooth, tau = 2 + normal.n_features, normal.changepoint_scale
    moment, ends, total = y @ normal.rows, [], 0
    for start in starts:
        status, theta, variance, rounds = kernels.linear_map(
            normal.rows, y, normal.gram, moment, normal.ridge, n_smooth, tau, start, mean_square * _PERFECT
        )
        total += rounds
        if status == kernels.CONVERGED:
            ends.append((normal.loss(y, theta, variance), theta, variance))
    if not ends:
        raise NoFiniteOptimum(_REASONS[status])
    loss, theta, variance = min(ends, key=lambda end: end[0])
    parameters = MapParameters.from_vector(theta, float(np.sqrt(variance)), n_features=normal.n_features)
    return MapSolution(parameters, -loss, total)


_REASONS = {
    kernels.COLLAPSED: "the model can follow this history perfectly, so the posterior has no finite optimum",
    kernels.SINGULAR: "the model has more freedom than this history settles: no optimum can be told from rounding",
    kernels.STALLED: "the solver's rounds did not settle",
}


def _solve_curved(problem: MapProblem, start: MapParameters | None) -> MapSolution:
    """The best of the modes that a few starts lead to.

    The starts are the one given (Prophet's own initial values) and those of `_shaped_starts`; a start that fails
    is passed over.
    """
    first = initial_values(problem) if start is None else start
    model, smallest = CurvedModel(problem), _PERFECT * float(problem.y @ problem.y) / len(problem.y)
    ends, reasons, total = [], [], 0
    for candidate in (first, *_shaped_starts(problem, first)):
        try:
            parameters, loss, steps = climb(model, candidate, smallest)
        except NoFiniteOptimum as reason:
            reasons.append(reason)
            continue
        total += steps
        ends.append((loss, parameters))
    if not ends:
        raise reasons[0]
    loss, parameters = min(ends, key=lambda end: end[0])
    return MapSolution(parameters, -loss, total)


def _shaped_starts(problem: MapProblem, first: MapParameters) -> list[MapParameters]:
    """Starts with the shape that a linear model of the same features finds, as far as that exists.

    Multiplicative coefficients are those of an additive model divided by the mean level. Logistic growth has two
    starts: the given trend with that shape, and the trend of the log odds of y / cap, kept away from 0 and 1.
    """
    ones, zeros = np.ones_like(problem.additive), np.zeros_like(problem.additive)
    logistic = problem.growth == "logistic"
    plain = replace(problem, growth="linear" if logistic else problem.growth, additive=ones, multiplicative=zeros)
    normal, starts = Normal.of(plain), []
    try:
        found = _solve_linear(normal, problem.y).parameters
        level = float(np.mean(problem.y)) or 1.0
        beta = np.where(problem.multiplicative != 0.0, found.beta / level, found.beta * (problem.additive != 0.0))
        starts.append(replace(first, beta=beta) if logistic else replace(found, beta=beta))
    except NoFiniteOptimum:
        beta = first.beta
    if logistic:
        share = np.clip(problem.y / problem.cap, 0.01, 0.99)
        try:
            odds = _solve_linear(normal, np.log(share / (1.0 - share))).parameters
            starts.append(MapParameters(odds.k, -odds.m / (odds.k or 1.0), odds.delta, beta, 1.0))
        except NoFiniteOptimum:
            pass
    return starts


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
