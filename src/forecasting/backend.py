"""The exact solver as a Stan backend of Prophet: `with_exact_solver(Prophet(...)).fit(df)` is an ordinary Prophet."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from prophet import Prophet
from prophet.models import CmdStanPyBackend, IStanBackend

from forecasting import solver
from forecasting.posterior import MapParameters, MapProblem, NoFiniteOptimum, log_posterior

_log = logging.getLogger(__name__)
FALLBACK = "cmdstan"


class ExactBackend(IStanBackend):
    """Fits with the exact solver; where it finds no finite optimum, and for sampling, with cmdstan.

    After a fit, `solver` is "exact" or "cmdstan", `reason` says why it was cmdstan, and `log_posterior` is the
    height in both cases, on Stan's scale. stan_fit is cmdstan's own result, or None after an exact fit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.solver: str | None = None
        self.reason: str | None = None
        self.log_posterior: float | None = None
        self._stan: CmdStanPyBackend | None = None

    @staticmethod
    def get_type() -> str:
        """The name of this backend, as Prophet logs it."""
        return "EXACT"

    def load_model(self) -> None:
        """Load nothing: cmdstan's model is loaded when it is first needed."""

    def fit(self, stan_init: dict[str, Any], stan_data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The parameters as Prophet keeps them, each (1, size).

        kwargs are for Stan's optimiser (algorithm, iter, init, ...). An optimum does not depend on how it is
        searched for, so they only matter, and are passed on, when cmdstan has to fit.
        """
        self.stan_fit = None
        problem = MapProblem.from_stan(stan_data)
        try:
            solution = solver.solve(problem, _parameters(stan_init))
        except NoFiniteOptimum as reason:
            self.solver, self.reason = FALLBACK, str(reason)
            _log.info("cmdstan fits instead of the exact solver: %s", reason)
            found = self._cmdstan().fit(stan_init, stan_data, **kwargs)
            self.stan_fit = self._cmdstan().stan_fit
            self.log_posterior = log_posterior(problem, _parameters(found))
            return dict(found)
        self.solver, self.reason, self.log_posterior = solver.SOLVER, None, solution.log_posterior
        at = solution.parameters
        if problem.has_stand_in and problem.growth == "logistic":  # Prophet's own way is right for the others
            at = at.without_delta(problem.growth)
        values = {"k": at.k, "m": at.m, "delta": at.delta, "beta": at.beta, "sigma_obs": at.sigma}
        values["lp__"] = solution.log_posterior  # cmdstan returns it too, and Prophet keeps it in its JSON
        return {name: np.array(value, dtype=np.float64).reshape(1, -1) for name, value in values.items()}

    def sampling(
        self, stan_init: dict[str, Any], stan_data: dict[str, Any], samples: int, **kwargs: Any
    ) -> dict[str, Any]:
        """Posterior draws, which only cmdstan makes."""
        self.solver, self.reason, self.log_posterior = FALLBACK, "posterior draws were asked for", None
        draws = self._cmdstan().sampling(stan_init, stan_data, samples, **kwargs)
        self.stan_fit = self._cmdstan().stan_fit
        return dict(draws)

    def cleanup(self) -> None:
        """Remove the files that cmdstan wrote, if it was used."""
        if self._stan is not None and self._stan.stan_fit is not None:
            self._stan.cleanup()

    def _cmdstan(self) -> CmdStanPyBackend:
        if self._stan is None:
            self._stan = CmdStanPyBackend()
        self._stan.newton_fallback = self.newton_fallback
        return self._stan


def with_exact_solver(model: Prophet) -> Prophet:
    """Let this unfitted Prophet fit with the exact solver; the same object back, its backend an ExactBackend."""
    model.stan_backend = ExactBackend()
    return model


def _parameters(values: dict[str, Any]) -> MapParameters:
    """Parameters from the dictionary of Prophet or of Stan."""

    def scalar(name: str) -> float:
        return float(np.asarray(values[name], dtype=np.float64).reshape(-1)[0])

    def vector(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.asarray(values[name], dtype=np.float64).reshape(-1)

    return MapParameters(scalar("k"), scalar("m"), vector("delta"), vector("beta"), scalar("sigma_obs"))
