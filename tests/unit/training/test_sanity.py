"""How far forecasts of real fits leave their histories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecasting.history import check_history
from forecasting.recipe import DAMPED_AVERAGE, STOCK, Recipe
from forecasting.recipe_fit import fit_histories_by
from forecasting.spec import ProphetSpec, Regressor
from forecasting.state import ForecastModel
from training.sanity import reach

WEEK = 7
SLOPE = np.linspace(0.0, 1.0, 28)
PLAIN = ProphetSpec()


def fitted(y: np.ndarray, spec: ProphetSpec = PLAIN, recipe: Recipe = STOCK, **columns: np.ndarray) -> ForecastModel:
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=len(y)), "y": y, **columns})
    [model] = fit_histories_by(recipe, [check_history(frame, extra_columns=tuple(columns))], spec)
    assert isinstance(model, ForecastModel)
    return model


@pytest.mark.parametrize("recipe", [STOCK, DAMPED_AVERAGE])
def test_a_forecast_inside_the_range_does_not_leave_it(recipe: Recipe) -> None:
    y = 10 + np.sin(2 * np.pi * np.arange(70) / WEEK)
    assert reach(fitted(y, recipe=recipe), y, {}, WEEK) < 0.05


@pytest.mark.parametrize("sign", [1, -1])
def test_a_trend_that_goes_on_leaves_it_by_as_much(sign: int) -> None:
    """A quarter of the history ahead, a quarter of its range away; up or down, and whatever the unit."""
    y = sign * SLOPE
    assert reach(fitted(y), y, {}, WEEK) == pytest.approx(0.25, abs=0.03)
    assert reach(fitted(1e6 * y + 5), 1e6 * y + 5, {}, WEEK) == pytest.approx(0.25, abs=0.03)


def test_no_trend_is_followed_for_longer_than_it_was_seen() -> None:
    y = SLOPE[:3]
    assert reach(fitted(y), y, {}, 1000) == pytest.approx(1.5, abs=0.1)


def test_a_history_that_never_changes_is_not_left() -> None:
    for y in (np.zeros(20), np.full(20, 1e-9), np.full(20, -4e12)):
        assert reach(fitted(y), y, {}, WEEK) < 1e-3


def test_an_explosion_is_seen() -> None:
    model = fitted(SLOPE)
    assert reach(replace(model, k=model.k * 1e4), SLOPE, {}, WEEK) > 1e3


@pytest.mark.parametrize("overflowing", ["k", "sigma_obs"])
def test_what_is_not_finite_is_infinitely_far(overflowing: str) -> None:
    """In the forecast, or in its interval alone."""
    y = 1e9 * SLOPE
    assert reach(replace(fitted(y), **{overflowing: np.array([1e307])}), y, {}, WEEK) == np.inf


def test_regressors_go_on_as_they_ended() -> None:
    price = np.arange(28.0) % 5
    y = 3 * price + SLOPE
    spec = ProphetSpec(regressors=(Regressor(name="price"),))
    assert reach(fitted(y, spec, price=price), y, {"price": price}, WEEK) < 0.3


def test_a_calendar_that_ends_is_no_explosion() -> None:
    model = replace(fitted(SLOPE), last_date=np.iinfo(np.int64).max - 1)
    assert np.isnan(reach(model, SLOPE, {}, WEEK))
