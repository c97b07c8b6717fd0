"""A ForecastModel written as Prophet's JSON is a Prophet, over random configurations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from prophet import Prophet
from prophet.serialize import SIMPLE_ATTRIBUTES, model_from_json, model_to_json

from forecasting.errors import ModelError
from forecasting.prophet_json_writer import write_model
from forecasting.state import Calibration, ForecastModel
from tests.unit.forecasting.drawn import assert_near, cases

RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
ARRAYS = ("k", "m", "delta", "beta", "sigma_obs", "changepoints_t", "regressor_mean", "regressor_std")
NUMBERS = ("growth", "start", "t_scale", "y_min", "y_scale", "scaling", "has_floor", "n_history", "interval_width")
OTHERS = ("features", "last_date", "freq", "solver", "log_posterior")


def _history(real: Prophet) -> pd.DataFrame:
    """What a Prophet was fitted to: it keeps its regressors standardised, and dates without a y in a list."""
    model = ForecastModel.from_json(model_to_json(real))
    history = real.history[["ds", "y", *model.required_columns]].copy()
    for name, props in real.extra_regressors.items():
        history[name] = history[name] * props["std"] + props["mu"]
    bare = pd.DataFrame({"ds": real.history_dates[~real.history_dates.isin(history["ds"])]})
    return pd.concat([history, bare], ignore_index=True)


def _assert_same(again: ForecastModel, model: ForecastModel) -> None:
    for name in ARRAYS:
        assert getattr(again, name).tobytes() == getattr(model, name).tobytes(), name
    for name in (*NUMBERS, *OTHERS):
        assert getattr(again, name) == getattr(model, name), name
    for name in ("last_cap", "last_floor"):  # they stand in the history, of which Prophet's JSON keeps ten digits
        found, wanted = getattr(again, name), getattr(model, name)
        assert found == wanted or found == pytest.approx(wanted, rel=1e-9), name


@RELAXED
@given(cases())
def test_a_written_model_is_the_prophet_that_it_was_read_from(case: tuple[Prophet, pd.DataFrame]) -> None:
    """It forecasts the same, has the same history and future, and is read back to the bit."""
    real, rows = case
    model = ForecastModel.from_json(model_to_json(real))
    text = write_model(model, _history(real))
    back = model_from_json(text)
    assert back.uncertainty_samples == 1000
    back.uncertainty_samples = real.uncertainty_samples = 0
    expected, got = real.predict(rows), back.predict(rows)
    assert list(got.columns) == list(expected.columns)
    for name in set(expected.columns) - {"ds"}:
        assert_near(got[name].to_numpy(), expected[name], name)
    _assert_same(ForecastModel.from_json(text), model)
    _assert_same(ForecastModel.from_json(model_to_json(back), freq=model.freq), model)


@RELAXED
@given(cases())
def test_a_written_model_remembers_its_history_and_its_changepoints(case: tuple[Prophet, pd.DataFrame]) -> None:
    """As Prophet does, so that it can be looked at, warm-started and asked for its future."""
    real, _ = case
    back = model_from_json(write_model(ForecastModel.from_json(model_to_json(real)), _history(real)))
    assert set(back.history.columns) == set(real.history.columns)
    for name in set(back.history.columns) - {"ds"}:
        wanted = real.history[name].to_numpy(dtype=float)
        np.testing.assert_allclose(back.history[name].to_numpy(dtype=float), wanted, rtol=1e-12, atol=1e-12)
    for found, wanted in ((back.history["ds"], real.history["ds"]), (back.history_dates, real.history_dates)):
        assert found.astype("M8[ns]").tolist() == wanted.astype("M8[ns]").tolist()
    known = sorted(real.changepoints.tolist())  # a Prophet that was given more afterwards does not list them
    assert back.changepoints.tolist()[: len(known)] == known
    wanted = real.make_future_dataframe(5, freq="3h", include_history=False)["ds"]
    assert back.make_future_dataframe(5, freq="3h", include_history=False)["ds"].tolist() == wanted.tolist()
    assert {name for names in real.component_modes.values() for name in names} >= set(real.train_component_cols)
    for mode, names in back.component_modes.items():
        assert set(names) & set(real.train_component_cols) == set(real.component_modes[mode]) & set(
            real.train_component_cols
        )


SETTINGS: dict[str, Any] = {
    "specified_changepoints": True,
    "changepoint_range": 0.5,
    "yearly_seasonality": 4,
    "weekly_seasonality": False,
    "daily_seasonality": True,
    "seasonality_mode": "multiplicative",
    "seasonality_prior_scale": 3.0,
    "changepoint_prior_scale": 0.5,
    "holidays_prior_scale": 2.0,
    "holidays_mode": "multiplicative",
    "uncertainty_samples": 300,
    "mcmc_samples": 40,
}


def test_every_setting_of_a_fit_comes_back(prophet: Prophet) -> None:
    """Under the name of the attribute that Prophet keeps it in."""
    model = ForecastModel.from_json(model_to_json(prophet))
    back = model_from_json(write_model(model, prophet.history[["ds", "y"]], SETTINGS))
    assert {name: getattr(back, name) for name in SETTINGS} == SETTINGS


def test_each_attribute_of_prophets_json_is_a_setting_or_the_models_own(prophet: Prophet) -> None:
    """Nothing that a Prophet is told gets lost, and nobody contradicts the model."""
    model = ForecastModel.from_json(model_to_json(prophet))
    of_the_model = {"growth", "n_changepoints", "interval_width", "y_scale", "y_min", "scaling", "logistic_floor"}
    of_the_model |= {"country_holidays", "component_modes"}
    assert set(SIMPLE_ATTRIBUTES) == set(SETTINGS) | of_the_model
    for name in sorted(of_the_model):
        with pytest.raises(ModelError, match=name):
            write_model(model, prophet.history[["ds", "y"]], {name: 1})


def test_calibration_frequency_and_solver_travel_along(prophet: Prophet) -> None:
    """In a place of their own, which Prophet's reader passes over."""
    found = ForecastModel.from_json(model_to_json(prophet), freq="2D")
    ours = {"calibration": Calibration(np.array([0.1, 0.5]), np.array([1.5, 2.0])), "solver": "exact"}
    model = ForecastModel(**{**vars(found), **ours, "log_posterior": -12.5})
    again = ForecastModel.from_json(write_model(model, prophet.history[["ds", "y"]]))
    assert (again.freq, again.solver, again.log_posterior) == ("2D", "exact", -12.5)
    assert again.calibration is not None
    assert again.calibration.horizons.tolist() == [0.1, 0.5]
    assert again.calibration.factors.tolist() == [1.5, 2.0]
