"""The segments of a job that a person should look at, the worst and the largest, kept as their outcomes come by."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappush, heappushpop

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.backtest import Cutoffs
from forecasting.calendar import season_length
from forecasting.errors import FitError
from forecasting.forecast import forecast
from forecasting.future import make_future
from forecasting.history import History
from forecasting.past import Ahead, Past, hindsight
from forecasting.plan import BacktestConfig
from forecasting.prophet_history import read_history, read_observations
from forecasting.state import ForecastModel
from training.segment import Outcome, Trained

SHOWN = 6  # of each kind
_BEFORE, _AFTER = 8, 2  # horizons of history and of forecast that a view shows

Floats = npt.NDArray[np.float64]
Dates = npt.NDArray[np.datetime64]


class Highlights:
    """Holds at most twice SHOWN models, whatever the number of segments.

    relative_bias: of each segment, the backtest's bias as a share of the mean of |y| in its history.
    """

    def __init__(self) -> None:
        self._worst, self._largest = _Best(), _Best()
        self.relative_bias = array("d")

    def see(self, outcomes: Sequence[Outcome]) -> None:
        """Take note of a chunk."""
        for one in outcomes:
            if not isinstance(one, Trained):
                continue
            self._largest.offer(one.volume, one)
            if "mase" in one.backtest.metrics:
                self._worst.offer(one.backtest.metrics["mase"], one)
            if one.volume > 0 and math.isfinite(bias := one.backtest.metrics.get("bias", math.nan)):
                self.relative_bias.append(bias * one.rows / one.volume)

    @property
    def worst(self) -> list[Trained]:
        """Those with the greatest MASE, the worst first."""
        return self._worst.in_order

    @property
    def largest(self) -> list[Trained]:
        """Those with the greatest sum of |y|, the largest first."""
        return self._largest.in_order


class _Best:
    """The few with the greatest figures; of equal ones those with the later keys, whatever the order of chunks."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str, Trained]] = []

    def offer(self, figure: float, one: Trained) -> None:
        add = heappush if len(self._heap) < SHOWN else heappushpop
        add(self._heap, (figure, one.segment, one))

    @property
    def in_order(self) -> list[Trained]:
        return [one for _, _, one in sorted(self._heap, reverse=True)]


@dataclass(frozen=True, eq=False)
class Curve:
    """A forecast: ds, yhat, lower and upper, each (rows,)."""

    ds: Dates
    ahead: Ahead


@dataclass(frozen=True, eq=False)
class View:
    """What one plot shows: the last rows of a history, what backtests said of them, and what comes.

    future: None where it needs columns that nobody knows yet, and lacking names them.
    """

    segment: str
    caption: str
    ds: Dates
    y: Floats
    future: Curve | None
    backtests: tuple[Curve, ...] = ()
    lacking: tuple[str, ...] = field(default=())


def view_of(one: Trained, config: BacktestConfig) -> View:
    """Read a trained segment's model and history, forecast, and make its backtest's forecasts once more."""
    model = ForecastModel.from_json(one.model_json, freq=one.freq)
    ds, y = read_observations(one.model_json)
    horizon = config.horizon or season_length(one.freq)
    tail = slice(max(0, len(ds) - _BEFORE * horizon), None)
    return View(
        segment=one.segment,
        caption=_caption(one),
        ds=_dates(ds[tail]),
        y=y[tail],
        future=None if one.inputs else _future(model, _AFTER * horizon),
        backtests=_backtests(one, model, ds, y, config),
        lacking=one.inputs,
    )


def _caption(one: Trained) -> str:
    own, naive = one.backtest.metrics, one.backtest.baseline
    parts = [
        f"{name} {of[key]:{form}}"
        for name, of, key, form in (
            ("MASE", own, "mase", ".2f"),
            ("seasonal naive", naive, "mase", ".2f"),
            ("coverage", own, "coverage", ".0%"),
        )
        if key in of
    ]
    return " · ".join(parts) or "not backtested"


def _future(model: ForecastModel, periods: int) -> Curve:
    ds = make_future(model, periods)
    found = forecast(model, ds)
    return Curve(_dates(ds), Ahead(found.yhat, found.yhat_lower, found.yhat_upper))


def _backtests(
    one: Trained, model: ForecastModel, ds: npt.NDArray[np.int64], y: Floats, config: BacktestConfig
) -> tuple[Curve, ...]:
    """What models of the same configuration would have forecast; nothing where that takes cmdstan, or fails."""
    if one.configuration.solver == "cmdstan":
        return ()
    _, columns = read_history(one.model_json, model)
    past = Past.of(History(pd.DataFrame({"ds": _dates(ds), "y": y, **columns}), one.freq))
    forecast_at = hindsight(past, one.configuration)
    try:
        return tuple(
            Curve(_dates(ds[fold.end : fold.end + len(fold.actual)]), forecast_at(fold.end, len(fold.actual)))
            for fold in Cutoffs.of(past, config).folds
        )
    except FitError:
        return ()


def _dates(ds: npt.NDArray[np.int64]) -> Dates:
    return ds.view("M8[ns]")
