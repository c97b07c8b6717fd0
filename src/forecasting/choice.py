"""Which configuration serves a segment: all candidates on the same cutoffs, and the guard of the one that is chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np

from forecasting.backtest import BacktestResult, Cutoffs, backtest
from forecasting.calibration import calibrate
from forecasting.configuration import Configuration
from forecasting.past import Past, hindsight
from forecasting.plan import CHAMPION, NAIVE, ChooseConfig, Plan
from forecasting.recipe import STOCK
from forecasting.recipe_fit import recipes_average
from forecasting.state import ForecastModel

_EXACT = 1e-6  # a MASE below this is no better than it


@dataclass(frozen=True)
class Choice:
    """What serves, and how it did beside others.

    backtest: its own. candidates: the metrics of all on the same cutoffs: each recipe's by its name, always stock's;
    NAIVE; CHAMPION, where its configuration was given and could be fitted. notes: what was flagged or left out.
    """

    configuration: Configuration
    backtest: BacktestResult
    candidates: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...] = ()


def choose(past: Past, plan: Plan, champion: Configuration | None = None) -> Choice:
    """Backtest the recipes, stock Prophet and the champion's configuration on the same cutoffs, and choose.

    The plan's recipe serves, or the best of those that it is to choose among (`_best`); unless that loses to seasonal
    naive, which no Prophet can be, and stock Prophet does better than it: then stock Prophet serves. A segment on which
    what is chosen loses to seasonal naive is flagged in any case.
    Raises FitError when stock Prophet or none of the recipes can be fitted.
    """
    measured = _Measured(past, Cutoffs.of(past, plan.backtest))
    stock = Configuration(model=plan.model, recipes=(STOCK,), solver=plan.solver)
    own = [stock.model_copy(update={"recipes": (recipe,)}) for recipe in (plan.recipe, *plan.choose.among)]
    candidates = {NAIVE: measured.baseline}
    candidates |= {one.name: measured(one).metrics for one in (stock, *own)}
    best = _best(own, measured, past, plan.choose)
    candidates[best.name] = measured(best).metrics
    serving, notes = _guarded(best, stock, measured)
    if champion is not None:
        try:
            candidates[CHAMPION] = measured(champion).metrics
        except Exception as error:  # whoever wrote that configuration: it must not cost the segment its training
            notes.append(f"the champion's configuration cannot be backtested on this history: {error}")
    return Choice(serving, measured(serving), candidates, tuple(notes))


def chosen_model(past: Past, choice: Choice) -> ForecastModel:
    """The model of all rows by the recipes that were chosen, its intervals as wide as the backtest asks for.

    Raises FitError.
    """
    recipes = choice.configuration.recipes
    model, own_weight = past.fit(choice.configuration), max(recipe.own_weight for recipe in recipes)
    return replace(model, calibration=calibrate(model, own_weight, np.array(choice.backtest.ratios)))


def _best(own: Sequence[Configuration], measured: _Measured, past: Past, config: ChooseConfig) -> Configuration:
    """The configuration of the lowest score, its model averaged with those of the next lowest that average with it."""
    freq, calendar = past.history.freq, past.calendar(own[0].model)
    scored = [(_score(one, measured, freq, config.own_weight), one) for one in own]
    ranked = [one for score, one in sorted(scored, key=itemgetter(0)) if score < math.inf] or own
    [best] = ranked[0].recipes
    kept = [one.recipes[0] for one in ranked if recipes_average(calendar, past.y, best, one.recipes[0])]
    return ranked[0].model_copy(update={"recipes": tuple(kept[: config.keep]) or (best,)})


def _score(one: Configuration, measured: _Measured, freq: str, own_weight: float) -> float:
    """The logarithm of a configuration's MASE, that in this segment's backtest shrunk towards that in all segments'."""
    pooled, mase = one.recipes[0].pace(freq).log_error, measured(one).metrics.get("mase")
    return pooled if mase is None else own_weight * math.log(max(mase, _EXACT)) + (1.0 - own_weight) * pooled


class _Measured:
    """Backtests on the same cutoffs, each done once."""

    def __init__(self, past: Past, cutoffs: Cutoffs) -> None:
        self._past, self._cutoffs = past, cutoffs
        self._done: dict[Configuration, BacktestResult] = {}
        self.baseline = cutoffs.baseline

    def __call__(self, configuration: Configuration) -> BacktestResult:
        """The backtest of a configuration. Raises FitError."""
        if configuration not in self._done:
            self._done[configuration] = backtest(self._cutoffs, hindsight(self._past, configuration))
        return self._done[configuration]


def _guarded(own: Configuration, stock: Configuration, measured: _Measured) -> tuple[Configuration, list[str]]:
    """The configuration, or stock Prophet in its place, and what is to be told."""
    mase, naive, plain = (
        metrics.get("mase") for metrics in (measured(own).metrics, measured.baseline, measured(stock).metrics)
    )
    if own == stock or mase is None or naive is None or mase <= naive:
        return own, []
    flag = f"the recipe {own.name} loses to seasonal naive: MASE {mase:.3f} against {naive:.3f}"
    if plain is not None and plain < mase:
        return stock, [f"{flag}; stock Prophet, with {plain:.3f}, takes its place"]
    return own, [flag]
