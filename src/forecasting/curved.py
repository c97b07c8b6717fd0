"""The exact maximum of a posterior that is not linear in its parameters: multiplicative features, logistic growth.

Proximal Gauss-Newton: linearise the mean of y, minimise the resulting quadratic plus the Laplace prior exactly
(`kernels.minimise`), take sigma in closed form, and repeat. Levenberg's damping grows where a step would not
lower the loss (Levenberg 1944; Lee, Sun and Saunders, SIAM J. Optim. 2014, for the proximal form).
The posterior may have several modes; this climbs the one that its start belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from forecasting import kernels
from forecasting.posterior import Floats, MapParameters, MapProblem, NoFiniteOptimum, trend

_MOST_STEPS = 500
_ARRIVED = 1e-12  # relative fall of the loss at which the climb ends
_ROUNDING = 1e-13  # a relative rise of the loss that is no more than rounding
_LARGEST_DAMPING = 1e8


@dataclass(frozen=True)
class _Point:
    """A place in parameter space, (n,), with what the next step needs to know of it."""

    theta: Floats
    trend: Floats
    residual: Floats
    variance: float
    loss: float


@dataclass(frozen=True)
class CurvedModel:
    """A posterior with its constant matrices; theta = (k, m, beta, delta), n = 2 + K + S."""

    problem: MapProblem

    @cached_property
    def hinges(self) -> Floats:
        """(T, S): max(t - t_j, 0)."""
        return self.problem.hinges()

    @cached_property
    def added(self) -> Floats:
        """(T, K): the features that are added."""
        return self.problem.features * self.problem.additive

    @cached_property
    def multiplied(self) -> Floats:
        """(T, K): the features that multiply the trend."""
        return self.problem.features * self.problem.multiplicative

    @cached_property
    def ridge(self) -> Floats:
        """(n,): the precisions of the normal priors."""
        return self.problem.ridge()

    @property
    def n_smooth(self) -> int:
        """The number of parameters under normal priors."""
        return 2 + int(self.problem.features.shape[1])

    def at(self, theta: Floats) -> _Point:
        """Evaluate the loss, minus the log posterior at the best sigma for theta."""
        problem, beta, delta = self.problem, theta[2 : self.n_smooth], theta[self.n_smooth :]
        level = trend(problem, theta, self.hinges)
        residual = problem.y - level * (1.0 + self.multiplied @ beta) - self.added @ beta
        squares = float(residual @ residual)
        variance = kernels.noise_variance(squares, len(residual))
        if not variance > 0.0:
            return _Point(theta, level, residual, 0.0, -np.inf)
        penalty = 0.5 * theta @ (self.ridge * theta) + np.abs(delta).sum() / problem.changepoint_scale
        loss = 0.5 * len(residual) * np.log(variance) + squares / (2.0 * variance) + 2.0 * variance + penalty
        return _Point(theta, level, residual, variance, float(loss))

    def jacobian(self, point: _Point) -> Floats:
        """(T, n): the derivatives of the mean of y."""
        problem, theta, n_smooth = self.problem, point.theta, self.n_smooth
        jacobian = np.zeros((len(problem.t), len(theta)))
        factor = 1.0 + self.multiplied @ theta[2:n_smooth]
        jacobian[:, 1] = factor
        if problem.growth == "logistic":
            factor = factor * point.trend * (1.0 - point.trend / problem.cap)  # d trend / d exponent
            jacobian[:, 1] = -theta[0] * factor
        if problem.growth != "flat":
            jacobian[:, 0] = (problem.t - theta[1] if problem.growth == "logistic" else problem.t) * factor
            np.multiply(self.hinges, factor[:, None], out=jacobian[:, n_smooth:])
        jacobian[:, 2:n_smooth] = self.added + self.multiplied * point.trend[:, None]
        return jacobian


def climb(model: CurvedModel, start: MapParameters, smallest: float) -> tuple[MapParameters, float, int]:
    """The mode that start leads to, its loss, and the number of steps.

    Raises NoFiniteOptimum when sigma^2 falls below smallest or the steps do not settle.
    """
    point, damping = model.at(start.vector()), 0.0
    steps = 0
    while True:
        steps += 1
        if steps > _MOST_STEPS:
            raise NoFiniteOptimum("the solver's steps did not settle")
        found, damping = _step(model, point, damping)
        if found is None:
            break
        fall, point = point.loss - found.loss, found
        if not point.variance > smallest:
            raise NoFiniteOptimum("the model can follow this history perfectly, so the posterior has no finite optimum")
        if fall < _ARRIVED * (1.0 + abs(point.loss)):
            break
    if not (np.isfinite(point.loss) and np.isfinite(point.theta).all()):
        raise NoFiniteOptimum("the solver's steps led out of the finite numbers")
    n_features = model.n_smooth - 2
    parameters = MapParameters.from_vector(point.theta, float(np.sqrt(point.variance)), n_features=n_features)
    return parameters, point.loss, steps


def _step(model: CurvedModel, point: _Point, damping: float) -> tuple[_Point | None, float]:
    """One step that does not raise the loss, or None, and the damping to begin the next one with."""
    jacobian = model.jacobian(point)
    gram = jacobian.T @ jacobian
    moment = point.residual @ jacobian + gram @ point.theta
    curvature = np.diag(gram) + 1e-9
    weight = point.variance / model.problem.changepoint_scale
    while damping <= _LARGEST_DAMPING:
        hessian = gram + np.diag(point.variance * model.ridge + damping * curvature)
        linear = moment + damping * curvature * point.theta
        start = point.theta[model.n_smooth :].copy()
        ended, theta = kernels.minimise(hessian, linear, model.n_smooth, weight, start)
        if ended:
            found = model.at(theta)
            if found.loss <= point.loss + _ROUNDING * abs(point.loss):
                return found, damping / 8.0 if damping > 1e-6 else 0.0
        damping = max(8.0 * damping, 1e-3)
    return None, damping
