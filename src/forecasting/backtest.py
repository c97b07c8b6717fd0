"""How well a fit would have done: rolling cutoffs in the manner of prophet.diagnostics, beside seasonal naive."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from forecasting import metrics
from forecasting.calendar import Integers, grid_positions, season_length
from forecasting.calibration import residual_ratios
from forecasting.metrics import Floats
from forecasting.past import Hindsight, Past
from forecasting.plan import BacktestConfig

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


@dataclass(frozen=True, eq=False)
class _Cutoff:
    """One fold. end: the rows that a fit sees; actual: (horizon,), what came after; scale: the MASE's unit there."""

    end: int
    actual: Floats
    scale: float


@dataclass(frozen=True, eq=False)
class Cutoffs:
    """The cutoffs of one history and what all that is backtested there shares. baseline: seasonal naive's metrics.

    note: why there is no cutoff, where the configuration asks for some.
    """

    folds: tuple[_Cutoff, ...] = ()
    dates: tuple[pd.Timestamp, ...] = ()
    baseline: dict[str, float] = field(default_factory=dict)
    note: str | None = None

    @classmethod
    def of(cls, past: Past, config: BacktestConfig) -> Cutoffs:
        """Place the cutoffs and measure seasonal naive; a history too short for one has none, and a note."""
        if config.cutoffs == 0:
            return cls()
        rows, season = len(past.y), season_length(past.history.freq)
        horizon = config.horizon or season
        min_train = config.min_train or max(2, 3 * horizon)
        ends = cutoff_rows(rows, horizon, config.period or max(1, horizon // 2), min_train, config.cutoffs)
        if not ends:
            return cls(note=f"no backtest: {rows} rows, and one cutoff needs {min_train} + {horizon}")
        positions, folds, scores = _positions(past), [], []
        for end in ends:
            seen = _on_grid(positions[:end], past.y[:end])
            fold = _Cutoff(end, past.y[end : end + horizon], metrics.naive_scale(seen, season))
            scores.append(_score(fold, seasonal_naive(seen, positions[end : end + horizon], season)))
            folds.append(fold)
        dates = tuple(pd.Timestamp(past.ds[end - 1], unit="ns") for end in ends)
        return cls(tuple(folds), dates, _mean(scores)[0])


def backtest(cutoffs: Cutoffs, forecast: Hindsight) -> BacktestResult:
    """Fit up to each cutoff, forecast the rows after it, and compare with what came.

    Without a cutoff there are no metrics. Raises FitError when a fit fails.
    """
    if not cutoffs.folds:
        return BacktestResult(notes=(cutoffs.note,) if cutoffs.note else ())
    scores, ratios = [], list[float]()
    for fold in cutoffs.folds:
        made = forecast(fold.end, len(fold.actual))
        scores.append(_score(fold, *made))
        ratios += residual_ratios(fold.actual, *made).tolist()
    measured, undefined = _mean(scores)
    notes = tuple(f"{name} is undefined in this backtest" for name in undefined)
    return BacktestResult(measured, cutoffs.baseline, cutoffs.dates, notes, tuple(ratios))


def naive_error(past: Past) -> float:
    """The MASE's unit of a whole history, as `Cutoffs` takes it of the rows before one; NaN where there is none."""
    return metrics.naive_scale(_on_grid(_positions(past), past.y), season_length(past.history.freq))


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


def _positions(past: Past) -> Integers:
    """The step of the grid that each row stands on, or the row's own number where the grid is too fine for its rows."""
    rows = len(past.ds)
    positions = grid_positions(pd.DatetimeIndex(past.ds.view("M8[ns]")), past.history.freq)
    return positions if positions[-1] < _SPARSEST * rows else np.arange(rows)


def _on_grid(positions: Integers, values: Floats) -> Floats:
    laid_out = np.full(int(positions[-1]) + 1, np.nan)
    laid_out[positions] = values
    return laid_out


def _score(fold: _Cutoff, yhat: Floats, *interval: Floats) -> dict[str, float]:
    """Every metric of one cutoff; coverage only where there is an interval."""
    scores = {
        "mase": metrics.scaled_error(fold.actual, yhat, fold.scale),
        "smape": metrics.smape(fold.actual, yhat),
        "wape": metrics.wape(fold.actual, yhat),
        "bias": metrics.bias(fold.actual, yhat),
    }
    if interval:
        scores["coverage"] = metrics.coverage(fold.actual, *interval)
    finite = all(np.isfinite(values).all() for values in (yhat, *interval))
    return scores if finite else dict.fromkeys(scores, float("inf"))


def _mean(scores: list[dict[str, float]]) -> tuple[dict[str, float], list[str]]:
    """Each metric's mean over the cutoffs where it is defined, and the names of those that never are."""
    defined = {name: [score[name] for score in scores if not np.isnan(score[name])] for name in scores[0]}
    means = {name: float(np.mean(values)) for name, values in defined.items() if values}
    return means, [name for name, values in defined.items() if not values]
