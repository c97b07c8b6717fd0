"""Which recipe serves a segment, on series where it is known which one does better."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from forecasting import prophet_model
from forecasting.future import make_future
from forecasting.history import History, check_history
from forecasting.predict import predict
from forecasting.state import ForecastModel
from training.choice import Choice, choose
from training.config import JobConfig, load_config
from training.errors import ConfigError
from training.segment import Trained, train_segment

DAYS = pd.date_range("2022-01-01", periods=400)


def config_of(**overrides: object) -> JobConfig:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(None, {"source.path": "a.csv", "backtest.cutoffs": 2, "backtest.horizon": 28, **dotted})


def history_of(y: np.ndarray) -> History:
    return check_history(pd.DataFrame({"ds": DAYS[: len(y)], "y": y}))


def chosen(y: np.ndarray, **overrides: object) -> Choice:
    return choose(history_of(y), config_of(**overrides))


def noise(scale: float) -> np.ndarray:
    return np.random.default_rng(4).normal(0, scale, len(DAYS))


def test_the_recipe_serves_where_it_beats_seasonal_naive_and_stock_is_told_beside_it() -> None:
    week = 5 * np.sin(2 * np.pi * np.arange(400) / 7)
    choice = chosen(100 + week + noise(3))
    assert (choice.recipe.name, choice.note) == ("damped-average", None)
    assert choice.backtest.metrics["mase"] < choice.backtest.baseline["mase"]
    assert choice.stock["mase"] > 0


def random_walk(seed: int) -> np.ndarray:
    return 500 + np.cumsum(np.random.default_rng(seed).normal(0, 1, 400))


def test_stock_prophet_takes_the_place_of_a_recipe_that_loses_to_it_and_to_seasonal_naive() -> None:
    choice = chosen(random_walk(4))
    assert choice.recipe.name == "stock"
    assert choice.note is not None
    assert "loses to seasonal naive" in choice.note
    assert "takes its place" in choice.note
    assert choice.backtest.metrics == choice.stock


def test_a_recipe_that_loses_to_seasonal_naive_alone_serves_and_is_flagged() -> None:
    choice = chosen(random_walk(1))
    assert choice.recipe.name == "damped-average"
    assert choice.note is not None
    assert choice.backtest.baseline["mase"] < choice.backtest.metrics["mase"] <= choice.stock["mase"]


def test_cmdstan_goes_with_the_recipe_stock_only() -> None:
    with pytest.raises(ConfigError, match="set recipe to stock"):
        config_of(solver="cmdstan")
    assert config_of(solver="cmdstan", recipe="stock").recipe.name == "stock"


def test_an_unknown_recipe_is_named_and_one_of_your_own_is_taken() -> None:
    with pytest.raises(ConfigError, match="damped-average, stock"):
        config_of(recipe="magic")
    assert config_of(recipe={"name": "mine", "daily": {"phi": 0.5}}).recipe.daily.phi == 0.5


def test_what_is_registered_is_a_prophet_that_forecasts_what_we_serve() -> None:
    """Averaged, damped and shifted, and still any Prophet; what Prophet has no place for is kept beside it."""
    y = 100 + 5 * np.sin(2 * np.pi * np.arange(400) / 7) + noise(3)
    trained = train_segment("a", pd.DataFrame({"ds": DAYS, "y": y}), config_of())
    assert isinstance(trained, Trained)
    assert (trained.recipe, trained.solver, trained.inputs) == ("damped-average", "exact", ())
    ours = ForecastModel.from_json(trained.model_json)
    theirs = prophet_model.from_json(trained.model_json)
    future = theirs.make_future_dataframe(60, include_history=False)
    np.testing.assert_allclose(
        predict(ours, make_future(ours, 60)).yhat, theirs.predict(future)["yhat"].to_numpy(), rtol=1e-9
    )
    assert ours.calibration is not None
    assert json.loads(trained.model_json)["changepoint_range"] == config_of().recipe.daily.changepoint_range
