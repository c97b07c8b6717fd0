"""How well a fit would have done: rolling cutoffs in the manner of prophet.diagnostics, beside seasonal naive."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from forecasting.calendar import Integers, grid_positions, season_length
from forecasting.calibration import residual_ratios
from forecasting.history import History
from forecasting.spec import ProphetSpec
from training import metrics
from training.config import BacktestConfig
from training.cutoffs import Forecaster
from training.metrics import Floats

_FORECAST = ("yhat", "yhat_lower", "yhat_upper")
_SPARSEST = 100  # a grid with more steps a row than this is not laid out: rows count as steps then


@dataclass(frozen=True)
class BacktestResult:
    """metrics: mase, smape, wape, bias, coverage, each the mean over the cutoffs where it is defined, and absent
    where there is none; infinite where the model's forecast was not finite. baseline: the same for seasonal naive,
    which has no interval and so no coverage. cutoffs: ascending. ratios: of every row that was forecast, how many
    half-widths of its interval the actual was away.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    baseline: dict[str, float] = field(default_factory=dict)
    cutoffs: tuple[pd.Timestamp, ...] = ()
    notes: tuple[str, ...] = ()
    ratios: tuple[float, ...] = ()


def backtest(
    history: History,
    spec: ProphetSpec,
    config: BacktestConfig,
    forecaster: Forecaster,
) -> BacktestResult:
    """Fit up to each cutoff, forecast the rows after it, and compare with what came.

    A history too short for one cutoff has no metrics and a note. Raises FitError when a fit fails.
    """
    if config.cutoffs == 0:
        return BacktestResult()
    season = season_length(history.freq)
    horizon = config.horizon or season
    min_train = config.min_train or max(2, 3 * horizon)
    ends = cutoff_rows(len(history.frame), horizon, config.period or max(1, horizon // 2), min_train, config.cutoffs)
    if not ends:
        note = f"no backtest: {len(history.frame)} rows, and one cutoff needs {min_train} + {horizon}"
        return BacktestResult(notes=(note,))
    positions = _positions(history)
    y, forecast = history.frame["y"].to_numpy(), forecaster(history, spec)
    scores, naive_scores, ratios = [], [], list[float]()
    for end in ends:
        past, ahead = _on_grid(positions[:end], y[:end]), positions[end : end + horizon]
        actual = y[end : end + horizon]
        made = forecast(end, horizon)
        scores.append(_score(actual, made, past, season))
        ratios += residual_ratios(actual, *(made[name].to_numpy() for name in _FORECAST)).tolist()
        naive = pd.DataFrame({"yhat": seasonal_naive(past, ahead, season)})
        naive_scores.append(_score(actual, naive, past, season))
    measured, undefined = _mean(scores)
    notes = tuple(f"{name} is undefined in this backtest" for name in undefined)
    cutoffs = tuple(pd.Timestamp(history.frame["ds"].iloc[end - 1]) for end in ends)
    return BacktestResult(measured, _mean(naive_scores)[0], cutoffs, notes, tuple(ratios))


def cutoff_rows(rows: int, horizon: int, period: int, min_train: int, cutoffs: int) -> list[int]:
    """How many rows each fit sees, ascending: the last leaves just the horizon, each before it `period` rows more.

    Source: prophet.diagnostics.generate_cutoffs, counted in rows where it counts in time.
    """
    last = rows - horizon
    return [end for end in range(last - (cutoffs - 1) * period, last + 1, period) if end >= min_train]


def seasonal_naive(past: Floats, ahead: Integers, season: int) -> Floats:
    """Repeat the last season: each step's forecast is the newest value at its place in the season.

    past: values on their grid from position 0 on, NaN where missing; ahead: positions after them. A place that was
    never seen takes the last value. Source: Hyndman and Athanasopoulos, "Forecasting", 3rd ed., 5.2.
    """
    known = np.flatnonzero(~np.isnan(past))
    if season > len(past):
        return np.full(len(ahead), past[known[-1]])
    newest = np.full(season, past[known[-1]])
    newest[known % season] = past[known]
    return newest[ahead % season]


def _positions(history: History) -> Integers:
    """The step of the grid that each row stands on, or the row's own number where the grid is too fine for its rows."""
    rows = len(history.frame)
    positions = grid_positions(pd.DatetimeIndex(history.frame["ds"]), history.freq)
    return positions if positions[-1] < _SPARSEST * rows else np.arange(rows)


def _on_grid(positions: Integers, values: Floats) -> Floats:
    laid_out = np.full(int(positions[-1]) + 1, np.nan)
    laid_out[positions] = values
    return laid_out


def _score(actual: Floats, forecast: pd.DataFrame, past: Floats, season: int) -> dict[str, float]:
    """Every metric of one cutoff; coverage only where the forecast has an interval."""
    columns = [forecast[name].to_numpy() for name in _FORECAST if name in forecast]
    yhat, *interval = columns
    scores = {
        "mase": metrics.mase(actual, yhat, past, season),
        "smape": metrics.smape(actual, yhat),
        "wape": metrics.wape(actual, yhat),
        "bias": metrics.bias(actual, yhat),
    }
    if interval:
        scores["coverage"] = metrics.coverage(actual, *interval)
    return scores if np.isfinite(columns).all() else dict.fromkeys(scores, float("inf"))


def _mean(scores: list[dict[str, float]]) -> tuple[dict[str, float], list[str]]:
    """Each metric's mean over the cutoffs where it is defined, and the names of those that never are."""
    defined = {name: [score[name] for score in scores if not np.isnan(score[name])] for name in scores[0]}
    means = {name: float(np.mean(values)) for name, values in defined.items() if values}
    return means, [name for name, values in defined.items() if not values]
