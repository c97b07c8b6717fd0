"""Models of several recipes become one: exactly the mean of their trends, and still any Prophet's JSON."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting import prophet_model
from forecasting.errors import FitError
from forecasting.features import FeatureTable
from forecasting.fit import SharedCalendar
from forecasting.forecast import forecast
from forecasting.future import make_future
from forecasting.predict import predict
from forecasting.prophet_json_writer import write_model
from forecasting.recipe import DAMPED_AVERAGE, STOCK, Pace, Recipe
from forecasting.recipe_fit import average, average_of, averages, fit_recipe, recipes_average
from forecasting.spec import ProphetSpec
from forecasting.state import Calibration, ForecastModel

SLOPES = st.floats(-5, 5)
TIMES = st.one_of(st.floats(0, 2), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
STIFF = Recipe(name="stiff", daily=Pace(changepoint_prior_scales=(0.01,), changepoint_range=0.5, phi=0.8, width=1.5))


@st.composite
def trends(draw: st.DrawFn) -> ForecastModel:
    """A model that is all trend, its changepoints often shared with others'."""
    times = sorted(draw(st.lists(TIMES, min_size=1, max_size=6)))
    delta = draw(st.lists(SLOPES, min_size=len(times), max_size=len(times)))
    numbers = {name: np.array([draw(SLOPES)]) for name in ("k", "m")}
    return ForecastModel(
        growth="linear",
        start=0,
        t_scale=1e15,
        y_min=0.0,
        y_scale=3.0,
        changepoints_t=np.array(times),
        delta=np.array([delta]),
        beta=np.zeros((1, 1)),
        sigma_obs=np.array([draw(st.floats(0.01, 1))]),
        calibration=draw(st.none() | st.floats(0.1, 5).map(Calibration.overall)),
        **numbers,
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(trends(), min_size=1, max_size=4))
def test_trend_and_half_width_of_an_average_are_the_means_of_its_members(members: list[ForecastModel]) -> None:
    ds = np.linspace(-0.2e15, 3e15, 60).astype(np.int64)
    mean, each = predict(average(members), ds), [predict(member, ds) for member in members]
    expected, scale = np.mean([one.yhat for one in each], axis=0), np.abs([one.yhat for one in each]).max()
    np.testing.assert_allclose(mean.yhat, expected, rtol=1e-12, atol=1e-12 * max(1.0, scale))
    end = np.array([10**15])
    widths = [found.yhat_upper - found.yhat_lower for found in (forecast(one, end) for one in members)]
    found = forecast(average(members), end)
    np.testing.assert_allclose(found.yhat_upper - found.yhat_lower, np.mean(widths, axis=0), rtol=1e-5)


def _daily(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random, day = np.random.default_rng(seed), np.arange(rows)
    y = 50 + 0.05 * day + 4 * np.sin(2 * np.pi * day / 7) + np.cumsum(random.normal(0, 0.3, rows))
    ds = pd.date_range("2022-01-01", periods=rows).as_unit("ns").asi8
    return ds, y + random.normal(0, 1, rows)


def _fitted(calendar: SharedCalendar, recipes: tuple[Recipe, ...], y: np.ndarray) -> ForecastModel:
    model = average_of([outcome for recipe in recipes for outcome in fit_recipe(calendar, recipe, y[None])])
    assert isinstance(model, ForecastModel)
    return model


@pytest.mark.parametrize("spec", [ProphetSpec(), ProphetSpec(seasonality_mode="multiplicative")])
def test_stock_prophet_forecasts_an_average_as_the_mean_that_it_is(spec: ProphetSpec) -> None:
    """Other changepoints, other damping, undamped: one ordinary Prophet's JSON, to 1e-9."""
    ds, y = _daily()
    calendar, recipes = SharedCalendar.of(ds, spec, "D"), (DAMPED_AVERAGE, STIFF, STOCK)
    model = _fitted(calendar, recipes, y)
    prophet = prophet_model.from_json(write_model(model, pd.DataFrame({"ds": ds.view("M8[ns]"), "y": y})))
    prophet.uncertainty_samples = 0
    ahead = make_future(model, 90)
    theirs = prophet.predict(pd.DataFrame({"ds": ahead.view("M8[ns]")}))
    ours = predict(model, ahead)
    np.testing.assert_allclose(ours.yhat, theirs["yhat"], rtol=1e-9)
    members = [_fitted(calendar, (recipe,), y) for recipe in recipes]
    trends = [predict(member, ahead).trend for member in members]
    np.testing.assert_allclose(theirs["trend"], np.mean(trends, axis=0), rtol=1e-9)
    mean = np.mean([predict(member, ahead).yhat for member in members], axis=0)
    np.testing.assert_allclose(theirs["yhat"], mean, rtol=1e-9 if spec == ProphetSpec() else 1e-3)


def test_one_recipe_alone_is_itself() -> None:
    ds, y = _daily()
    calendar = SharedCalendar.of(ds, ProphetSpec(), "D")
    alone, plain = _fitted(calendar, (DAMPED_AVERAGE,), y), fit_recipe(calendar, DAMPED_AVERAGE, y[None])[0]
    assert isinstance(plain, ForecastModel)
    for name in ("k", "m", "delta", "beta", "sigma_obs", "changepoints_t"):
        assert getattr(alone, name).tobytes() == getattr(plain, name).tobytes()


@pytest.mark.parametrize("growth", ["linear", "flat"])
def test_models_of_other_terms_or_growth_are_left_out_of_an_average(growth: str) -> None:
    ds, y = _daily()
    calendar = SharedCalendar.of(ds, ProphetSpec(growth=growth), "D")
    first = _fitted(calendar, (DAMPED_AVERAGE,), y)
    other = replace(first, features=FeatureTable(), beta=np.zeros((1, 1))) if growth == "linear" else replace(first)
    assert average([first, other]) is first
    assert not averages(first, other)


def test_a_history_that_no_recipe_can_be_fitted_to_is_an_error() -> None:
    ds, y = _daily(rows=1)
    calendar = SharedCalendar.of(ds, ProphetSpec(), "D")
    outcomes = [outcome for recipe in (DAMPED_AVERAGE, STOCK) for outcome in fit_recipe(calendar, recipe, y[None])]
    assert average_of(outcomes) is outcomes[0]
    assert isinstance(outcomes[0], FitError)


def test_a_history_that_one_recipe_cannot_be_fitted_to_is_left_to_the_others() -> None:
    ds, y = _daily()
    model = _fitted(SharedCalendar.of(ds, ProphetSpec(), "D"), (STOCK,), y)
    assert average_of([FitError("no optimum"), model]) is model


def test_that_recipes_average_is_known_before_they_are_fitted() -> None:
    ds, y = _daily()
    orders = Recipe(name="orders", daily_order=2)
    modes = Recipe(name="modes", daily=Pace(seasonality_mode="multiplicative"))
    hourly = SharedCalendar.of(ds[0] + (ds - ds[0]) // 24, ProphetSpec(), "h")
    for calendar, other, will in ((hourly, orders, False), (hourly, STIFF, True)):
        assert recipes_average(calendar, y, DAMPED_AVERAGE, other) is will
    daily = SharedCalendar.of(ds, ProphetSpec(), "D")
    assert recipes_average(daily, y, DAMPED_AVERAGE, STOCK)
    assert not recipes_average(daily, y, DAMPED_AVERAGE, modes)
    flat = SharedCalendar.of(ds, ProphetSpec(growth="flat"), "D")
    assert not recipes_average(flat, y, DAMPED_AVERAGE, STOCK)
