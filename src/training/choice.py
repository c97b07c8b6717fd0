"""Which recipe serves a segment: the configured one, guarded by the two forecasts that it must not lose to."""

from __future__ import annotations

from dataclasses import dataclass, field

from forecasting.history import History
from forecasting.recipe import STOCK, Recipe
from training.backtest import BacktestResult, backtest
from training.config import JobConfig
from training.cutoffs import by_cmdstan, by_recipe


@dataclass(frozen=True)
class Choice:
    """The recipe that serves, its backtest, and the metrics of stock Prophet on the same cutoffs; note: the flag."""

    recipe: Recipe
    backtest: BacktestResult
    stock: dict[str, float] = field(default_factory=dict)
    note: str | None = None


def choose(history: History, config: JobConfig) -> Choice:
    """Backtest the recipe and stock Prophet on the same cutoffs, and choose.

    The recipe serves unless it loses to seasonal naive, which no Prophet can be, and stock Prophet does better than it:
    then stock Prophet serves. A segment on which the recipe loses to seasonal naive is flagged in any case.
    Raises FitError.
    """
    spec, recipe = config.model, config.recipe
    if recipe == STOCK:
        forecaster = by_cmdstan if config.solver == "cmdstan" else by_recipe(STOCK)
        result = backtest(history, spec, config.backtest, forecaster)
        return Choice(STOCK, result, result.metrics)
    result = backtest(history, spec, config.backtest, by_recipe(recipe))
    plain = backtest(history, spec, config.backtest, by_recipe(STOCK))
    own, naive, stock = (found.get("mase") for found in (result.metrics, result.baseline, plain.metrics))
    if own is None or naive is None or own <= naive:
        return Choice(recipe, result, plain.metrics)
    flag = f"the recipe {recipe.name} loses to seasonal naive: MASE {own:.3f} against {naive:.3f}"
    if stock is not None and stock < own:
        return Choice(STOCK, plain, plain.metrics, f"{flag}; stock Prophet, with {stock:.3f}, takes its place")
    return Choice(recipe, result, plain.metrics, flag)
