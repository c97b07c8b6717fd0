"""One segment's logged forecasts beside what came: which forecast counts for a date, and how good it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting import metrics
from forecasting.backtest import naive_error
from forecasting.calendar import offset_of
from forecasting.history import History
from forecasting.metrics import Floats
from forecasting.past import Past
from registry.forecast_log import LoggedForecast
from registry.versions import ModelVersion
from training.drift import DriftRules, Status, judge
from training.settle import NAIVE_ERROR_TAG

Dates = npt.NDArray[np.datetime64]
_NEVER = np.datetime64("NaT", "ns")


@dataclass(frozen=True)
class ScoreRules:
    """What counts. since: dates before it do not. every: all forecasts of a date, where else it is the last served
    before the date's step was over. late: those served only after that, too.
    """

    since: datetime
    every: bool = False
    late: bool = False
    drift: DriftRules = field(default_factory=DriftRules)


@dataclass(frozen=True, eq=False)
class Points:
    """Forecasts and what came, (n,) each, by date. forecasts: which of the log's each belongs to."""

    ds: Dates
    actual: Floats
    yhat: Floats
    lower: Floats
    upper: Floats
    forecasts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ds)

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Points:
        """Some of them."""
        return Points(*(values[rows] for values in vars(self).values()))


@dataclass(frozen=True, slots=True)
class SegmentScore:
    """One segment's score.

    status: drifted (to be trained again), steady, unjudged, or failed: its actuals have faults. points: how many, from
    the date first_ds to last_ds. mase, smape, wape, bias, coverage: of all of them; nominal: the mean width of their
    intervals; mean_size: the mean of |actual|. naive_error: the MASE's unit, and whence it is. The figures champion_*
    are of those points alone that the champion forecast, which is judged by them beside its backtest's.
    """

    segment: str
    status: Literal[Status, "failed"] = "unjudged"
    reasons: tuple[str, ...] = ()
    points: int = 0
    first_ds: str | None = None
    last_ds: str | None = None
    mase: float = math.nan
    smape: float = math.nan
    wape: float = math.nan
    bias: float = math.nan
    coverage: float = math.nan
    nominal: float = math.nan
    mean_size: float = math.nan
    naive_error: float = math.nan
    naive_error_of: str | None = None
    champion: int | None = None
    champion_points: int = 0
    champion_mase: float = math.nan
    champion_coverage: float = math.nan
    backtest_mase: float = math.nan
    backtest_coverage: float = math.nan

    @property
    def ratio(self) -> float:
        """The champion's live MASE over its backtest's."""
        return self.champion_mase / self.backtest_mase if self.backtest_mase > 0 else math.nan


def score_segment(
    segment: str,
    actuals: History,
    forecasts: Sequence[LoggedForecast],
    champion: ModelVersion | None,
    rules: ScoreRules,
) -> SegmentScore:
    """Measure a segment's logged forecasts against its actuals, and judge its champion."""
    points = choose_points(actuals, forecasts, rules)
    if not len(points):
        return SegmentScore(segment, reasons=("No date that was forecast ahead has an actual yet.",))
    unit, unit_of = _unit(actuals, forecasts, points, champion)
    widths = np.array([forecast.interval_width for forecast in forecasts])
    inside = _inside(points)
    score = SegmentScore(
        segment,
        points=len(points),
        first_ds=str(points.ds.min().astype("M8[s]")),
        last_ds=str(points.ds.max().astype("M8[s]")),
        mase=metrics.scaled_error(points.actual, points.yhat, unit),
        smape=metrics.smape(points.actual, points.yhat),
        wape=metrics.wape(points.actual, points.yhat),
        bias=metrics.bias(points.actual, points.yhat),
        coverage=float(inside.mean()),
        nominal=float(widths[points.forecasts].mean()),
        mean_size=float(np.abs(points.actual).mean()),
        naive_error=unit,
        naive_error_of=unit_of,
    )
    if champion is None:
        return replace(score, reasons=("It has no champion that could be trained again.",))
    return _judged(score, points, forecasts, champion, rules.drift)


def choose_points(actuals: History, forecasts: Sequence[LoggedForecast], rules: ScoreRules) -> Points:
    """Pair actuals with forecasts of the same dates, by date.

    A forecast's rows up to its model's history are no forecasts. Of several forecasts of a date the one counts that was
    served last before the date's step was over (a day's, for days): what was known of the future when it came.
    """
    ds = actuals.frame["ds"].to_numpy(dtype="M8[ns]")
    over = _steps_end(ds, actuals.freq)
    parts = []
    for number, forecast in enumerate(forecasts):
        usable = (forecast.ds > forecast.trained_through) & (forecast.ds >= np.datetime64(_plain(rules.since), "ns"))
        rows = np.flatnonzero(usable & np.isin(forecast.ds, ds))
        places = np.searchsorted(ds, forecast.ds[rows])
        told = last_served(forecast.served, over[places], late=rules.late)
        known = ~np.isnat(told)
        parts.append((places[known], rows[known], told[known], np.full(np.count_nonzero(known), number)))
    if not parts:
        return _points(actuals, forecasts, *(np.empty(0, dtype=np.intp) for _ in range(3)))
    places, rows, told, numbers = (np.concatenate(part) for part in zip(*parts, strict=True))
    trained = np.array([forecast.trained_through for forecast in forecasts])[numbers]
    order = np.lexsort((trained, told, places))  # of those told at one moment the better informed
    if not rules.every:
        order = order[np.append(np.diff(places[order]) != 0, True)] if len(order) else order
    return _points(actuals, forecasts, places[order], rows[order], numbers[order])


def last_served(served: Sequence[tuple[np.datetime64, np.datetime64]], over: Dates, *, late: bool) -> Dates:
    """When a forecast was last served before each of these times, to the hour; NaT where it was not.

    served: the first and last time in each hour, ascending. late: then the first time at all, less a century, so that
    any that was served in time goes before it.
    """
    if not served:
        return np.full(len(over), _NEVER)
    firsts, lasts = (np.array(times, dtype="M8[ns]") for times in zip(*served, strict=True))
    hour = np.searchsorted(firsts, over) - 1
    told = np.where(lasts[hour] < over, lasts[hour], firsts[hour])
    return np.where(hour >= 0, told, firsts[0] - np.timedelta64(36_500, "D") if late else _NEVER)


def _points(
    actuals: History,
    forecasts: Sequence[LoggedForecast],
    places: npt.NDArray[np.intp],
    rows: npt.NDArray[np.intp],
    numbers: npt.NDArray[np.intp],
) -> Points:
    starts = np.cumsum([0, *(len(forecast.ds) for forecast in forecasts)])[:-1]
    at = starts[numbers] + rows if len(numbers) else rows

    def column(name: str) -> Floats:
        values = [getattr(forecast, name) for forecast in forecasts]
        return np.concatenate(values)[at] if values else np.empty(0)

    frame = actuals.frame
    ds, y = frame["ds"].to_numpy(dtype="M8[ns]")[places], frame["y"].to_numpy(dtype=np.float64)[places]
    return Points(ds, y, column("yhat"), column("lower"), column("upper"), numbers)


def _judged(
    score: SegmentScore,
    points: Points,
    forecasts: Sequence[LoggedForecast],
    champion: ModelVersion,
    rules: DriftRules,
) -> SegmentScore:
    """With the champion's own figures, and what they say."""
    backtest = champion.metrics
    own = np.array([(one.version, one.run_id) == (champion.version, champion.run_id) for one in forecasts])
    its = points.take(own[points.forecasts])
    score = replace(
        score,
        champion=champion.version,
        champion_points=len(its),
        backtest_mase=backtest.get("mase", math.nan),
        backtest_coverage=backtest.get("coverage", math.nan),
    )
    if not len(its):
        return replace(score, reasons=(f"Nothing that champion {champion.version} forecast has an actual yet.",))
    inside, errors = _inside(its), np.abs(its.yhat - its.actual) / score.naive_error
    nominal = np.array([one.interval_width for one in forecasts])[its.forecasts].mean()
    verdict = judge(errors, inside, float(nominal), backtest, rules)
    return replace(
        score,
        champion_mase=float(errors.mean()),
        champion_coverage=float(inside.mean()),
        status=verdict.status,
        reasons=verdict.reasons,
    )


def _unit(
    actuals: History, forecasts: Sequence[LoggedForecast], points: Points, champion: ModelVersion | None
) -> tuple[float, str | None]:
    """The MASE's unit, one for all of a segment's points, and whence it is; NaN where none is known.

    As the champion's training logged it; for versions that say nothing, that of the actuals which the oldest of the
    forecasts could have seen.
    """
    try:
        logged = float("nan" if champion is None else champion.tags[NAIVE_ERROR_TAG])
    except (KeyError, ValueError):
        logged = math.nan
    if math.isfinite(logged) and logged > 0:
        assert champion is not None
        return logged, f"the history of version {champion.version}"
    through = min(forecasts[number].trained_through for number in set(points.forecasts.tolist()))
    frame = actuals.frame[actuals.frame["ds"].to_numpy(dtype="M8[ns]") <= through]
    unit = naive_error(Past.of(replace(actuals, frame=frame.reset_index(drop=True)))) if len(frame) > 1 else math.nan
    return (unit, f"the actuals through {through.astype('M8[s]')}") if unit > 0 else (math.nan, None)


def _inside(points: Points) -> Floats:
    return ((points.lower <= points.actual) & (points.actual <= points.upper)).astype(np.float64)


def _steps_end(ds: Dates, freq: str) -> Dates:
    """When the step of each date is over."""
    ends: Dates = (pd.DatetimeIndex(ds) + offset_of(freq)).to_numpy(dtype="M8[ns]")
    return ends


def _plain(time: datetime) -> datetime:
    return time.replace(tzinfo=None)
