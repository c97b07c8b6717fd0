"""Which recipe serves a segment, on series where it is known which one does better."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from forecasting import choice as room
from forecasting import prophet_model
from forecasting.choice import Choice, choose
from forecasting.configuration import Configuration
from forecasting.future import make_future
from forecasting.history import History, check_history
from forecasting.past import Past
from forecasting.plan import CHAMPION, NAIVE
from forecasting.predict import predict
from forecasting.recipe import DAMPED_AVERAGE, STOCK, Pace, Recipe
from forecasting.spec import ProphetSpec, Regressor
from forecasting.state import ForecastModel
from training.config import JobConfig, load_config
from training.errors import ConfigError
from training.segment import Trained, train_chunk, train_segment
from training.spool import Chunk

DAYS = pd.date_range("2022-01-01", periods=400)


def config_of(**overrides: object) -> JobConfig:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(None, {"source.path": "a.csv", "backtest.cutoffs": 2, "backtest.horizon": 28, **dotted})


def history_of(y: np.ndarray) -> History:
    return check_history(pd.DataFrame({"ds": DAYS[: len(y)], "y": y}))


def chosen(y: np.ndarray, **overrides: object) -> Choice:
    return choose(Past.of(history_of(y)), config_of(**overrides))


def noise(scale: float) -> np.ndarray:
    return np.random.default_rng(4).normal(0, scale, len(DAYS))


def weekly() -> np.ndarray:
    return 100 + 5 * np.sin(2 * np.pi * np.arange(400) / 7) + noise(3)


def test_the_recipe_serves_where_it_beats_seasonal_naive_and_the_others_are_told_beside_it() -> None:
    choice = chosen(weekly())
    assert (choice.configuration.recipes, choice.notes) == ((DAMPED_AVERAGE,), ())
    assert set(choice.candidates) == {"damped-average", "stock", NAIVE}
    assert choice.candidates["damped-average"] == choice.backtest.metrics
    assert choice.candidates[NAIVE] == choice.backtest.baseline
    assert choice.backtest.metrics["mase"] < choice.backtest.baseline["mase"]
    assert choice.candidates["stock"]["mase"] > 0


def random_walk(seed: int) -> np.ndarray:
    return 500 + np.cumsum(np.random.default_rng(seed).normal(0, 1, 400))


def test_stock_prophet_takes_the_place_of_a_recipe_that_loses_to_it_and_to_seasonal_naive() -> None:
    choice = chosen(random_walk(4))
    assert choice.configuration.name == "stock"
    [note] = choice.notes
    assert "loses to seasonal naive" in note
    assert "takes its place" in note
    assert choice.backtest.metrics == choice.candidates["stock"]
    assert choice.candidates["stock"]["mase"] < choice.candidates["damped-average"]["mase"]


def test_a_recipe_that_loses_to_seasonal_naive_alone_serves_and_is_flagged() -> None:
    choice = chosen(random_walk(1))
    assert choice.configuration.name == "damped-average"
    assert len(choice.notes) == 1
    assert choice.backtest.baseline["mase"] < choice.backtest.metrics["mase"] <= choice.candidates["stock"]["mase"]


def test_the_champions_configuration_is_measured_on_the_same_cutoffs_and_never_serves() -> None:
    champion = Configuration(model=ProphetSpec(weekly_seasonality=False), recipes=(STOCK,))
    choice = choose(Past.of(history_of(weekly())), config_of(), champion)
    [theirs] = [chosen(weekly(), recipe="stock", model__weekly_seasonality=False)]
    assert choice.candidates[CHAMPION] == theirs.backtest.metrics
    assert choice.configuration.recipes == (DAMPED_AVERAGE,)


def test_what_is_one_configuration_is_backtested_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Configuration] = []
    actual = room.hindsight
    monkeypatch.setattr(room, "hindsight", lambda past, one: measured.append(one) or actual(past, one))
    champion = Configuration(model=ProphetSpec(), recipes=(DAMPED_AVERAGE,))
    choice = choose(Past.of(history_of(weekly())), config_of(), champion)
    assert choice.candidates[CHAMPION] == choice.candidates["damped-average"]
    assert [one.name for one in measured] == ["stock", "damped-average"]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (ProphetSpec(regressors=(Regressor(name="price"),)), "price"),
        (ProphetSpec(growth="logistic"), "cap"),
        (ProphetSpec(regressors=(Regressor(name="trend"),)), "reserved"),
    ],
)
def test_a_champion_that_cannot_be_fitted_here_is_left_out_with_its_reason(spec: ProphetSpec, told: str) -> None:
    champion = Configuration(model=spec, recipes=(STOCK,))
    choice = choose(Past.of(history_of(weekly())), config_of(), champion)
    assert CHAMPION not in choice.candidates
    [note] = choice.notes
    assert "cannot be backtested" in note
    assert told in note


def test_a_chunk_hands_each_segment_its_champion() -> None:
    """Alone and among others, to the bit."""
    y = np.concatenate([weekly(), random_walk(1)])
    frame = pd.DataFrame({"ds": np.tile(DAYS, 2), "y": y})
    champions = {"b": Configuration(recipes=(STOCK,), model=ProphetSpec(changepoint_range=0.5))}
    chunk = Chunk(("a", "b"), np.array([0, 400, 800]), frame, champions)
    together = train_chunk(chunk, config_of())
    assert [outcome for one in chunk.apart() for outcome in train_chunk(one, config_of())] == together
    trained = [outcome for outcome in together if isinstance(outcome, Trained)]
    assert [one.champion is None for one in trained] == [True, False]


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


STIFF = Recipe(name="stiff", daily=Pace(changepoint_prior_scales=(0.01,), phi=0.9, width=1.67))
LOOSE = Recipe(name="loose", daily=Pace(changepoint_prior_scales=(0.5,), phi=0.9, width=1.67))


def pooled(recipe: Recipe, log_error: float) -> Recipe:
    return recipe.model_copy(update={"daily": recipe.daily.model_copy(update={"log_error": log_error})})


def alone(y: np.ndarray, recipe: Recipe) -> float:
    return chosen(y, recipe=recipe).candidates[recipe.name]["mase"]


def test_the_best_few_are_averaged_best_first_and_the_average_is_backtested_itself() -> None:
    choice = chosen(weekly(), choose__among=[STIFF, LOOSE], choose__keep=2)
    order = sorted((DAMPED_AVERAGE, STIFF, LOOSE), key=lambda recipe: alone(weekly(), recipe))
    assert choice.configuration.recipes == tuple(order[:2])
    assert choice.configuration.name == f"{order[0].name} + {order[1].name}"
    assert set(choice.candidates) == {"damped-average", "stiff", "loose", "stock", NAIVE, choice.configuration.name}
    assert choice.backtest.metrics == choice.candidates[choice.configuration.name]
    assert len(choice.backtest.ratios) == 2 * 28


def test_what_the_segment_says_is_shrunk_towards_what_all_segments_say() -> None:
    """A few per cent in one backtest do not outweigh as much in all of them, unless it alone counts."""
    mine = {recipe.name: alone(weekly(), recipe) for recipe in (DAMPED_AVERAGE, STIFF)}
    better, worse = sorted((DAMPED_AVERAGE, STIFF), key=lambda recipe: mine[recipe.name])
    gap = np.log(mine[worse.name] / mine[better.name])
    assert 0 < gap < 0.2

    def best(log_error: float, own_weight: float) -> str:
        given = {"recipe": worse, "choose__among": [pooled(better, log_error)]}
        choice = chosen(weekly(), **given, choose__keep=1, choose__own_weight=own_weight)
        return choice.configuration.name

    assert best(0.5 * gap, own_weight=0.25) == worse.name
    assert best(0.3 * gap, own_weight=0.25) == better.name
    assert best(100 * gap, own_weight=1.0) == better.name
    assert best(0.01, own_weight=0.0) == worse.name


def test_without_a_backtest_all_segments_alone_say_what_is_best() -> None:
    config = config_of(backtest__cutoffs=0, choose__among=[pooled(STIFF, -0.1)], choose__keep=1)
    assert choose(Past.of(history_of(weekly())), config).configuration.recipes[0].name == "stiff"


def test_only_what_averages_with_the_best_is_averaged() -> None:
    other = Recipe(name="other", daily=Pace(seasonality_mode="multiplicative", log_error=0.01))
    choice = chosen(weekly(), choose__among=[other, pooled(STIFF, 0.02)], choose__own_weight=0.0)
    assert choice.configuration.recipes == (DAMPED_AVERAGE, pooled(STIFF, 0.02))
    flat = chosen(weekly(), model__growth="flat", choose__among=[pooled(STIFF, 0.02)], choose__own_weight=0.0)
    assert flat.configuration.recipes == (DAMPED_AVERAGE,)


def test_an_average_that_loses_to_seasonal_naive_and_stock_prophet_gives_way_to_stock() -> None:
    choice = chosen(random_walk(4), choose__among=[STIFF])
    assert choice.configuration.recipes == (STOCK,)
    assert "damped-average" in choice.notes[0]
    assert "takes its place" in choice.notes[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"choose__among": ["damped-average"]}, "damped-average is there twice"),
        ({"choose__among": [{"name": "stock"}]}, "stock is there twice"),
        ({"recipe": {"name": "champion"}}, "champion is there twice"),
        ({"choose__among": ["magic"]}, "damped-average, stock"),
        ({"choose__among": [{"name": "a", "daly": {}}]}, "daily"),
        ({"choose__kep": 2}, "keep"),
        ({"solver": "cmdstan", "recipe": "stock", "choose__among": [STIFF]}, "choose nothing"),
    ],
)
def test_a_choice_that_cannot_be_made_is_told(given: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        config_of(**given)


def test_a_chosen_average_is_a_prophet_that_forecasts_what_we_serve_whoever_else_is_in_the_chunk() -> None:
    table = pd.DataFrame({"ds": DAYS, "y": weekly()})
    config = config_of(choose__among=["stock", STIFF])
    frame = pd.concat([table.assign(y=random_walk(1)), table], ignore_index=True)
    chunk = Chunk(("a", "b"), np.array([0, 400, 800]), frame)
    trained = train_segment("b", table, config)
    assert isinstance(trained, Trained)
    assert [outcome for one in chunk.apart() for outcome in train_chunk(one, config)] == train_chunk(chunk, config)
    assert len(trained.configuration.recipes) == 3
    ours = ForecastModel.from_json(trained.model_json)
    theirs = prophet_model.from_json(trained.model_json)
    theirs.uncertainty_samples = 0
    future = theirs.make_future_dataframe(60, include_history=False)
    ahead = make_future(ours, 60)
    np.testing.assert_allclose(predict(ours, ahead).yhat, theirs.predict(future)["yhat"].to_numpy(), rtol=1e-9)
    assert ours.calibration is not None
