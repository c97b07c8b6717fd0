"""What a real Prophet was told is read from its JSON: a fit by what is read finds the same model."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet
from prophet.serialize import model_to_json

from forecasting.errors import Inexpressible, ModelError
from forecasting.prophet_settings import read_spec
from forecasting.spec import ProphetSpec, Regressor, Seasonality


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    day = np.arange(60)
    noise = np.random.default_rng(7).normal(0, 0.5, 60)
    y = 20 + 0.1 * day + 3 * np.sin(2 * np.pi * day / 7) + noise
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60), "y": y, "price": day % 5 * 1.5})
    return frame.assign(cap=50.0, floor=1.0, weekend=frame["ds"].dt.day_of_week >= 5)


def told(history: pd.DataFrame, prophet: Prophet) -> ProphetSpec:
    return read_spec(model_to_json(prophet.fit(history)))


def test_a_prophet_as_it_comes_is_a_spec_as_it_comes(history: pd.DataFrame) -> None:
    """Also in the double encoding of MLflow's files; what "auto" chose for this history is not taken for an order."""
    text = model_to_json(Prophet().fit(history))
    assert read_spec(text) == read_spec(json.dumps(text)) == ProphetSpec()


def test_every_setting_is_read(history: pd.DataFrame) -> None:
    prophet = Prophet(
        growth="logistic",
        n_changepoints=7,
        changepoint_range=0.9,
        changepoint_prior_scale=0.3,
        seasonality_mode="multiplicative",
        seasonality_prior_scale=0.5,
        holidays_prior_scale=0.7,
        yearly_seasonality=2,
        weekly_seasonality="auto",
        daily_seasonality=False,
        interval_width=0.9,
    )
    prophet.add_country_holidays("DE")
    prophet.add_seasonality("fortnight", 14, 2, prior_scale=0.2, mode="additive")
    prophet.add_seasonality("weekly", 7, 2)
    prophet.add_regressor("price", prior_scale=0.4, standardize=False, mode="additive")
    assert told(history, prophet) == ProphetSpec(
        growth="logistic",
        n_changepoints=7,
        changepoint_range=0.9,
        changepoint_prior_scale=0.3,
        seasonality_mode="multiplicative",
        seasonality_prior_scale=0.5,
        holidays_prior_scale=0.7,
        yearly_seasonality=2,
        daily_seasonality=False,
        interval_width=0.9,
        country_holidays="DE",
        seasonalities=(
            Seasonality(name="fortnight", period=14, fourier_order=2, prior_scale=0.2, mode="additive"),
            Seasonality(name="weekly", period=7, fourier_order=2, prior_scale=0.5, mode="multiplicative"),
        ),
        regressors=(Regressor(name="price", prior_scale=0.4, standardize=False, mode="additive"),),
        cap=50.0,
        floor=1.0,
    )


def conditional() -> Prophet:
    return Prophet().add_seasonality("w", 7, 2, condition_name="weekend")


@pytest.mark.parametrize(
    ("prophet", "reason"),
    [
        (lambda: Prophet(changepoints=["2024-01-20"]), "changepoints of its own"),
        (lambda: Prophet(scaling="minmax"), "scaling 'minmax'"),
        (
            lambda: Prophet(holidays=pd.DataFrame({"ds": pd.to_datetime(["2024-01-06"]), "holiday": "x"})),
            "a table of holidays",
        ),
        (lambda: Prophet(holidays_mode="multiplicative"), "holidays in another mode"),
        (conditional, "a conditional seasonality 'w'"),
        (lambda: Prophet(interval_width=1), "interval_width"),
    ],
)
def test_what_a_spec_has_no_place_for_is_named(history: pd.DataFrame, prophet: Any, reason: str) -> None:
    with pytest.raises(Inexpressible, match=reason):
        told(history, prophet())


def test_a_cap_that_changes_is_named(history: pd.DataFrame) -> None:
    with pytest.raises(Inexpressible, match="a cap that changes over time"):
        told(history.assign(cap=50.0 + np.arange(60)), Prophet(growth="logistic"))


@pytest.mark.parametrize(("key", "value"), [("mcmc_samples", 300), ("changepoints_t", [0.5, 1.2]), ("novelty", 1)])
def test_what_no_settings_lead_to_again_is_refused(history: pd.DataFrame, key: str, value: object) -> None:
    """Sampled parameters, a trend that a recipe damped, and what a later Prophet may bring."""
    state = json.loads(model_to_json(Prophet().fit(history)))
    with pytest.raises(Inexpressible):
        read_spec(json.dumps(state | {key: value}))


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", '{"growth": "linear"}'])
def test_what_is_no_prophet_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        read_spec(text)
