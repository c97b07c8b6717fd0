"""The exact maximum of a posterior that is linear in its parameters: linear or flat growth, additive features.

Given sigma it is a lasso, and given the rest sigma is in closed form (`kernels.linear_map`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting import kernels
from forecasting.posterior import Floats, MapParameters, MapProblem, MapSolution, NoFiniteOptimum

PERFECT = 1e-18  # sigma^2 below this share of the mean square of y: the fit is perfect up to rounding
_FEW_ROWS = 4  # below so many rows a parameter, the posterior may have a second mode at a smaller sigma
_LOW_START = 1e-6  # that mode is sought from this share of the mean square of y
_REASONS = {
    kernels.COLLAPSED: "the model can follow this history perfectly, so the posterior has no finite optimum",
    kernels.SINGULAR: "the model has more freedom than this history settles: no optimum can be told from rounding",
    kernels.STALLED: "the solver's rounds did not settle",
}


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


def solve_linear(normal: Normal, y: Floats) -> MapSolution:
    """The maximum for one series y, (T,), on a linear design.

    The rounds start above every fixed point. With few rows there may be a higher maximum at a smaller sigma,
    short of the infinite one at sigma 0, so they start from below as well and the higher end is taken.
    Raises NoFiniteOptimum as `solver.solve` does.
    """
    mean_square = float(y @ y) / len(y)
    starts = [mean_square]
    if len(y) < _FEW_ROWS * len(normal.ridge):
        starts.append(mean_square * _LOW_START)
    n_smooth, tau = 2 + normal.n_features, normal.changepoint_scale
    moment, ends, total = y @ normal.rows, [], 0
    for start in starts:
        status, theta, variance, rounds = kernels.linear_map(
            normal.rows, y, normal.gram, moment, normal.ridge, n_smooth, tau, start, mean_square * PERFECT
        )
        total += rounds
        if status == kernels.CONVERGED:
            ends.append((normal.loss(y, theta, variance), theta, variance))
    if not ends:
        raise NoFiniteOptimum(_REASONS[status])
    loss, theta, variance = min(ends, key=lambda end: end[0])
    parameters = MapParameters.from_vector(theta, float(np.sqrt(variance)), n_features=normal.n_features)
    return MapSolution(parameters, -loss, total)
