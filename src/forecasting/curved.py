"""The exact maximum of a posterior that is not linear in its parameters: multiplicative features, logistic growth.

Proximal Newton (Lee, Sun and Saunders, SIAM J. Optim. 2014): expand the smooth part of the loss to second order,
minimise that plus the Laplace prior exactly (`kernels.minimise`), take sigma in closed form, and repeat. Where
Newton's Hessian does not lead down, the one of Gauss and Newton, which is never indefinite, is damped until it does
(Levenberg 1944). A small sigma makes valleys narrow, and a straight step along one that bends climbs its side: the
departure of the mean from its straight line is then put into the residual and the step taken anew (the second-order
correction of Nocedal and Wright, Numerical Optimization, 2nd ed., section 15.6).

theta = (k, c, beta, delta) with n = 2 + K + S entries, where the trend, or the exponent of a logistic one, is
k t + c + sum_j delta_j max(t - t_j, 0). c is m, but -k m for logistic growth: in k and m the levels that the data
cannot tell apart lie on a hyperbola, in k and c on a straight line.

The posterior may have several modes; this climbs the one that its start belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from forecasting import kernels
from forecasting.posterior import (
    LARGEST_EXPONENT,
    TREND_PRIOR,
    Floats,
    MapParameters,
    MapProblem,
    MapSolution,
    NoFiniteOptimum,
)

_MOST_STEPS = 300
_ARRIVED = 1e-12  # relative fall of the loss in an undamped step at which the climb ends
_ROUNDING = 1e-13  # a relative rise of the loss that is no more than rounding
_CORRECTIONS = 3
_LARGEST_DAMPING = 1e8


@dataclass(frozen=True)
class _Point:
    """A place in parameter space, (n,), with what the next step needs to know of it.

    trend, slope, bend: (T,), the trend and its derivatives by its exponent (by itself unless logistic); factor: (T,),
    1 + X_m beta; residual: (T,). loss: minus the log posterior at sigma^2 = variance, the best one for theta.
    """

    theta: Floats
    trend: Floats
    slope: Floats
    bend: Floats
    factor: Floats
    residual: Floats
    variance: float
    loss: float


@dataclass(frozen=True)
class _Expansion:
    """The smooth part of the loss about a point, times sigma^2: gradient (n,), two Hessians (n, n); jacobian (T, n)."""

    jacobian: Floats
    gradient: Floats
    newton: Floats
    gauss: Floats


@dataclass(frozen=True)
class CurvedModel:
    """A posterior with its constant matrices."""

    problem: MapProblem

    @cached_property
    def is_logistic(self) -> bool:
        return self.problem.growth == "logistic"

    @cached_property
    def lines(self) -> Floats:
        """(T, 2 + S): what k, c and delta multiply: t, 1 and the hinges; flat growth has the 1 only."""
        t = self.problem.t
        lines = np.column_stack([t, np.ones_like(t), self.problem.hinges()])
        if self.problem.growth == "flat":
            lines[:, 0], lines[:, 2:] = 0.0, 0.0
        return lines

    @cached_property
    def on_lines(self) -> npt.NDArray[np.intp]:
        """(2 + S,): the places of k, c and delta in theta."""
        return np.concatenate([[0, 1], self.n_smooth + np.arange(len(self.problem.changepoints_t))])

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
        """(n,): the precisions of the normal priors; 0 for the c of logistic growth, whose prior is `_offset_prior`."""
        ridge = self.problem.ridge()
        ridge[1] *= not self.is_logistic
        return ridge

    @property
    def n_smooth(self) -> int:
        """The number of parameters under normal priors."""
        return 2 + int(self.problem.features.shape[1])

    def start(self, parameters: MapParameters) -> _Point:
        """The point of some parameters."""
        theta = parameters.vector()
        if self.is_logistic:
            theta[1] *= -theta[0]
        return self.at(theta)

    def parameters(self, point: _Point) -> MapParameters:
        """The parameters of a point."""
        theta = point.theta.copy()
        if self.is_logistic:
            theta[1] /= -theta[0]
        return MapParameters.from_vector(theta, float(np.sqrt(point.variance)), n_features=self.n_smooth - 2)

    def at(self, theta: Floats) -> _Point:
        """Evaluate the model; the loss is infinite where it overflows, minus infinity where the fit is perfect."""
        problem, beta, delta = self.problem, theta[2 : self.n_smooth], theta[self.n_smooth :]
        trend = self.lines @ theta[self.on_lines]
        slope, bend = np.ones_like(trend), np.zeros_like(trend)
        if self.is_logistic:
            share = 1.0 / (1.0 + np.exp(-np.clip(trend, -LARGEST_EXPONENT, LARGEST_EXPONENT)))
            trend = problem.cap * share
            slope = trend * (1.0 - share)
            bend = slope * (1.0 - 2.0 * share)
        factor = 1.0 + self.multiplied @ beta
        residual = problem.y - trend * factor - self.added @ beta
        squares = float(residual @ residual)
        variance = kernels.noise_variance(squares, len(residual))
        penalty = 0.5 * theta @ (self.ridge * theta) + np.abs(delta).sum() / problem.changepoint_scale
        if self.is_logistic:
            penalty += 0.5 * (theta[1] / theta[0] / TREND_PRIOR) ** 2 if theta[0] != 0.0 else np.inf
        loss = float(penalty + 2.0 * variance)
        if variance > 0.0:
            loss += 0.5 * len(residual) * np.log(variance) + squares / (2.0 * variance)
        elif squares == 0.0:
            loss = -np.inf
        return _Point(theta, trend, slope, bend, factor, residual, variance, loss if loss == loss else np.inf)

    def expand(self, point: _Point) -> _Expansion:
        """The derivatives of the smooth part of the loss, sigma held fixed."""
        theta, n_smooth, lines = point.theta, self.n_smooth, self.lines
        jacobian = np.empty((len(lines), len(theta)))
        jacobian[:, self.on_lines] = lines * (point.factor * point.slope)[:, None]
        jacobian[:, 2:n_smooth] = self.added + self.multiplied * point.trend[:, None]
        gauss = jacobian.T @ jacobian
        gauss[np.diag_indices_from(gauss)] += point.variance * self.ridge
        gradient = point.variance * self.ridge * theta - point.residual @ jacobian
        newton = gauss.copy()
        crossed = (lines * (point.residual * point.slope)[:, None]).T @ self.multiplied
        newton[self.on_lines, 2:n_smooth] -= crossed
        newton[2:n_smooth, self.on_lines] -= crossed.T
        if self.is_logistic:
            bent = lines * (point.residual * point.factor * point.bend)[:, None]
            newton[np.ix_(self.on_lines, self.on_lines)] -= lines.T @ bent
            slopes, square, curvature = _offset_prior(theta[0], theta[1])
            gradient[:2] += point.variance * slopes
            gauss[:2, :2] += point.variance * square
            newton[:2, :2] += point.variance * (square + curvature)
        return _Expansion(jacobian, gradient, newton, gauss)


def _offset_prior(k: float, c: float) -> tuple[Floats, Floats, Floats]:
    """The derivatives by (k, c) of m^2 / (2 TREND_PRIOR^2), m = -c / k: the gradient, and the Hessian in two parts.

    The first part is that of m taken for linear, which is never indefinite.
    """
    m, slopes = -c / k, np.array([c / k, -1.0]) / k
    curvature = np.array([[2.0 * m, 1.0], [1.0, 0.0]]) / k**2
    return (m * slopes / TREND_PRIOR**2, np.outer(slopes, slopes) / TREND_PRIOR**2, m * curvature / TREND_PRIOR**2)


def climb(model: CurvedModel, start: MapParameters, smallest: float) -> MapSolution:
    """The mode that start leads to.

    Raises NoFiniteOptimum when sigma^2 falls below smallest or the steps do not settle.
    """
    with np.errstate(all="ignore"):  # a step too far may overflow; its loss is infinite then, and it is not taken
        point, damping = model.start(start), 0.0
        for steps in range(1, _MOST_STEPS + 1):
            found, used = _step(model, point, damping)
            if found is None:
                break
            if not found.variance > smallest:
                raise NoFiniteOptimum(
                    "the model can follow this history perfectly, so the posterior has no finite optimum"
                )
            fall, point, damping = point.loss - found.loss, found, used / 8.0 if used > 1e-6 else 0.0
            if used == 0.0 and fall < _ARRIVED * (1.0 + abs(point.loss)):
                return MapSolution(model.parameters(point), -point.loss, steps)
    raise NoFiniteOptimum("the solver's steps did not settle")


def _step(model: CurvedModel, point: _Point, damping: float) -> tuple[_Point | None, float]:
    """A point that is no higher, None if none is found, and the damping that led to it."""
    expansion = model.expand(point)
    found = _try(model, point, expansion, expansion.newton)
    if found is not None:
        return found, 0.0
    curvature = np.diag(np.diag(expansion.gauss) + 1e-9)
    while damping <= _LARGEST_DAMPING:
        found = _try(model, point, expansion, expansion.gauss + damping * curvature)
        if found is not None:
            return found, damping
        damping = max(8.0 * damping, 1e-3)
    return None, damping


def _try(model: CurvedModel, point: _Point, expansion: _Expansion, hessian: Floats) -> _Point | None:
    """Where the expansion with this Hessian is lowest, or near there along the bend, if the loss is no higher there."""
    linear = hessian @ point.theta - expansion.gradient
    weight, delta = point.variance / model.problem.changepoint_scale, point.theta[model.n_smooth :]
    correction = np.zeros_like(linear)
    for _ in range(1 + _CORRECTIONS):
        ended, theta = kernels.minimise(hessian, linear - correction, model.n_smooth, weight, delta.copy())
        found = model.at(theta)
        if not ended or not found.loss < np.inf:
            return None
        if found.loss <= point.loss + _ROUNDING * abs(point.loss):
            return found
        departure = point.residual - found.residual - expansion.jacobian @ (theta - point.theta)
        correction = departure @ expansion.jacobian
    return None
