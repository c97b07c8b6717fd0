"""Which configuration serves a segment: all candidates on the same cutoffs, and the guard of the one that is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from forecasting.errors import FitError
from forecasting.recipe import STOCK
from training.backtest import BacktestResult, Cutoffs, backtest
from training.config import JobConfig
from training.configuration import Configuration
from training.cutoffs import Past, hindsight

NAIVE, CHAMPION = "seasonal-naive", "champion"  # candidates beside the recipes


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


def choose(past: Past, config: JobConfig, champion: Configuration | None = None) -> Choice:
    """Backtest the recipe, stock Prophet and the champion's configuration on the same cutoffs, and choose.

    The recipe serves unless it loses to seasonal naive, which no Prophet can be, and stock Prophet does better than it:
    then stock Prophet serves. A segment on which the recipe loses to seasonal naive is flagged in any case.
    Raises FitError when the recipe or stock Prophet cannot be fitted.
    """
    measured = _Measured(past, Cutoffs.of(past, config.backtest))
    stock = Configuration(model=config.model, recipes=(STOCK,), solver=config.solver)
    own = stock.model_copy(update={"recipes": (config.recipe,)})
    candidates = {NAIVE: measured.baseline, STOCK.name: measured(stock).metrics, own.name: measured(own).metrics}
    serving, notes = _guarded(own, stock, measured)
    if champion is not None:
        try:
            candidates[CHAMPION] = measured(champion).metrics
        except FitError as error:
            notes.append(f"the champion's configuration cannot be backtested on this history: {error}")
    return Choice(serving, measured(serving), candidates, tuple(notes))


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
