"""The posterior that Prophet maximises: its data, its parameters, its logarithm.

Everything is in Prophet's scaled units: y divided by y_scale, t running from 0 to 1 over the history.
The model is prophet/stan_model/prophet.stan of prophet 1.5.0; T rows, K regressors, S changepoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from forecasting.errors import FitError

Floats = npt.NDArray[np.float64]
Growth = Literal["linear", "logistic", "flat"]
_GROWTHS: tuple[Growth, ...] = ("linear", "logistic", "flat")  # in the order of Stan's trend_indicator

TREND_PRIOR = 5.0  # the standard deviation of k and of m
LARGEST_EXPONENT = 500.0  # beyond it a logistic curve is 0 or 1 to the last digit


class NoFiniteOptimum(FitError):
    """The posterior grows without bound, or its optimum could not be found to full accuracy; the message says which."""


@dataclass(frozen=True)
class MapProblem:
    """One posterior to maximise.

    y, t, cap: (T,), cap only used by logistic growth; features: (T, K); changepoints_t: (S,) ascending;
    feature_scales: (K,) standard deviations of the priors of beta; additive, multiplicative: (K,) indicators
    of what each feature enters; changepoint_scale: the Laplace scale of the prior of delta.
    """

    growth: Growth
    y: Floats
    t: Floats
    cap: Floats
    changepoints_t: Floats
    features: Floats
    feature_scales: Floats
    additive: Floats
    multiplicative: Floats
    changepoint_scale: float

    @classmethod
    def from_stan(cls, data: Mapping[str, Any]) -> MapProblem:
        """Read the dictionary that Prophet hands to its Stan backends."""

        def floats(name: str) -> Floats:
            return np.ascontiguousarray(data[name], dtype=np.float64)

        return cls(
            growth=_GROWTHS[int(data["trend_indicator"])],
            y=floats("y"),
            t=floats("t"),
            cap=floats("cap"),
            changepoints_t=floats("t_change"),
            features=floats("X"),
            feature_scales=floats("sigmas"),
            additive=floats("s_a"),
            multiplicative=floats("s_m"),
            changepoint_scale=float(data["tau"]),
        )

    @property
    def has_stand_in(self) -> bool:
        """Whether there are no changepoints: Prophet then puts one at 0 and adds its delta to k after the fit."""
        return len(self.changepoints_t) == 1 and self.changepoints_t[0] == 0.0

    @property
    def is_linear(self) -> bool:
        """Whether the mean of y is linear in the parameters, so that one Gram matrix tells all."""
        return self.growth != "logistic" and not np.any(self.multiplicative)

    def hinges(self) -> Floats:
        """max(t - t_j, 0), (T, S): what a unit change of slope at each changepoint adds to a linear trend."""
        return np.maximum(self.t[:, None] - self.changepoints_t, 0.0)

    def ridge(self) -> Floats:
        """The precisions of the normal priors, (2 + K + S,), in the order k, m, beta, delta; 0 for delta."""
        trend = np.full(2, TREND_PRIOR**-2)
        return np.concatenate([trend, self.feature_scales**-2, np.zeros(len(self.changepoints_t))])


@dataclass(frozen=True)
class MapParameters:
    """A point in the parameter space of prophet.stan; delta: (S,), beta: (K,)."""

    k: float
    m: float
    delta: Floats
    beta: Floats
    sigma: float

    @classmethod
    def from_vector(cls, theta: Floats, sigma: float, *, n_features: int) -> MapParameters:
        """Split the solver's vector (2 + K + S,), in the order k, m, beta, delta."""
        beta, delta = theta[2 : 2 + n_features], theta[2 + n_features :]
        return cls(k=float(theta[0]), m=float(theta[1]), delta=delta.copy(), beta=beta.copy(), sigma=sigma)

    def without_delta(self, growth: Growth) -> MapParameters:
        """The same trend where the one changepoint is at 0, with its delta in k.

        Prophet keeps m, which is right for a linear trend; a logistic one then leaves the curve that was fitted.
        """
        k = self.k + float(self.delta[0])
        m = self.m * self.k / k if growth == "logistic" else self.m
        return replace(self, k=k, m=m, delta=np.zeros(1))

    def vector(self) -> Floats:
        """k, m, beta, delta in one vector, (2 + K + S,); sigma left out."""
        return np.concatenate([[self.k, self.m], self.beta, self.delta])


@dataclass(frozen=True)
class MapSolution:
    """A maximum of the posterior: where, how high (as Stan's lp__), after how many rounds of the solver."""

    parameters: MapParameters
    log_posterior: float
    rounds: int


def trend(problem: MapProblem, theta: Floats, hinges: Floats) -> Floats:
    """The trend, (T,), of parameters in the order k, m, beta, delta.

    Prophet writes logistic growth with an offset gamma in every segment that keeps the curve continuous.
    That is the same as cap / (1 + exp(-u)) with u = k (t - m) + sum_j delta_j max(t - t_j, 0): u is continuous
    and has Prophet's slope in every segment.
    """
    k, m, delta = theta[0], theta[1], theta[2 + problem.features.shape[1] :]
    if problem.growth == "flat":
        return np.full(len(problem.t), m)
    if problem.growth == "linear":
        return np.asarray(k * problem.t + m + hinges @ delta)
    exponent = np.clip(k * (problem.t - m) + hinges @ delta, -LARGEST_EXPONENT, LARGEST_EXPONENT)
    return np.asarray(problem.cap / (1.0 + np.exp(-exponent)))


def fitted(problem: MapProblem, theta: Floats, hinges: Floats) -> Floats:
    """The mean of y, (T,): trend * (1 + X_m beta) + X_a beta."""
    beta = theta[2 : 2 + problem.features.shape[1]]
    multiplied = problem.features @ (problem.multiplicative * beta)
    added = problem.features @ (problem.additive * beta)
    return np.asarray(trend(problem, theta, hinges) * (1.0 + multiplied) + added)


def log_posterior(problem: MapProblem, at: MapParameters) -> float:
    """The logarithm of the posterior up to Stan's constant: what cmdstan's optimiser reports as lp__.

    k, m ~ normal(0, 5), delta ~ double_exponential(0, tau), sigma ~ normal(0, 0.5), beta ~ normal(0, scales),
    y ~ normal(fitted, sigma); terms that do not depend on a parameter are left out, as Stan leaves them out.
    """
    residual = problem.y - fitted(problem, at.vector(), problem.hinges())
    likelihood = -len(problem.y) * np.log(at.sigma) - residual @ residual / (2.0 * at.sigma**2)
    trend_priors = -(at.k**2 + at.m**2) / (2.0 * TREND_PRIOR**2) - np.abs(at.delta).sum() / problem.changepoint_scale
    feature_priors = -0.5 * np.sum((at.beta / problem.feature_scales) ** 2)
    return float(likelihood + trend_priors + feature_priors - 2.0 * at.sigma**2)
