"""Forecasts as arrays are Prophet.predict's, over random configurations; test_many.py has many at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from prophet import Prophet
from prophet.serialize import model_to_json

from forecasting.predict import component_bounds, predict
from forecasting.state import ForecastModel
from tests.unit.forecasting.drawn import Drawn, assert_near, cases, columns_of

RELAXED = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def _assert_prophets(real: Prophet, rows: pd.DataFrame) -> None:
    """yhat, trend, and the components that Prophet has, in its order, with the bounds that it gives them."""
    model = ForecastModel.from_json(model_to_json(real))
    expected = real.predict(rows)
    ds, columns = columns_of(rows.sort_values("ds", kind="mergesort"))  # as Prophet's answer is
    got = predict(model, ds, columns, components=True)
    assert_near(got.yhat, expected["yhat"], "yhat")
    assert_near(got.trend, expected["trend"], "trend")
    assert list(got.components) == list(real.train_component_cols.columns)
    bounds = component_bounds(model, ds, columns)
    for name, values in got.components.items():
        assert_near(values, expected[name], name)
        if real.uncertainty_samples:
            assert_near(bounds[name][0], expected[f"{name}_lower"], name)
            assert_near(bounds[name][1], expected[f"{name}_upper"], name)


@RELAXED
@given(cases())
def test_yhat_trend_and_every_component_are_prophets(case: tuple[Prophet, pd.DataFrame]) -> None:
    """Whatever the model was told and whichever rows are asked for."""
    _assert_prophets(*case)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(RELAXED, max_examples=1_000)
@given(cases())
def test_they_are_prophets_in_every_configuration_that_turns_up(case: tuple[Prophet, pd.DataFrame]) -> None:
    """The same at length."""
    _assert_prophets(*case)


@pytest.mark.parametrize("growth", ["linear", "logistic", "flat"])
def test_draws_of_prophets_own_sampler_forecast_as_prophet_does(growth: str) -> None:
    """As Stan gives them and Prophet keeps them, rather than drawn up in their shape."""
    day = np.arange(60)
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60), "y": 20 + day % 7 + np.sin(day), "cap": 40.0})
    real = Prophet(growth=growth, mcmc_samples=20, uncertainty_samples=0, n_changepoints=5)
    real.fit(frame, chains=1, seed=1, show_progress=False)
    assert real.params["k"].shape == (10,)
    _assert_prophets(real, real.make_future_dataframe(40).assign(cap=40.0))


@pytest.mark.parametrize("unit", ["us", "ns"])
@pytest.mark.parametrize("step", ["137ms", "1s", "7min"])
def test_a_season_of_a_minute_is_prophets_too(step: str, unit: str) -> None:
    """Its angles are millions of turns, of which the last bit of a second shows in the seventh digit."""
    dates = pd.date_range("2024-03-01 10:00", periods=80, freq=step).as_unit(unit)
    real = Prophet(uncertainty_samples=0).add_seasonality("minute", 1 / 1440, 5)
    real.stan_backend = Drawn(3, 1, 0.1)
    real.fit(pd.DataFrame({"ds": dates[:60], "y": np.arange(60.0)}))
    _assert_prophets(real, pd.DataFrame({"ds": dates}))


@pytest.mark.parametrize("name", ["index", "level_0", 'a"ds":', "2020-01-01", "Ä ö"])
def test_any_name_that_prophet_takes_and_writes_is_read(name: str) -> None:
    """A regressor's and a seasonality's, also one that pandas gives to its own columns."""
    frame = pd.DataFrame(
        {"ds": pd.date_range("2024-01-01", periods=60), "y": np.arange(60.0), name: np.sqrt(range(60))}
    )
    for make in (lambda: Prophet().add_regressor(name), lambda: Prophet().add_seasonality(name, 5, 2)):
        real = make()
        real.uncertainty_samples = 0
        real.stan_backend = Drawn(4, 1, 0.1)
        _assert_prophets(real.fit(frame.copy()), frame.drop(columns="y"))
