"""The intervals of Prophet's default sampler: for those who need the same widths as before.

In prophet 1.5 the sampler counts its steps from the first future row that is asked for, by the mean distance of those
rows. So an interval depends on which rows are asked for, and a single row far ahead gets one step of the history's
length. With logistic growth it also rounds the history's changepoints to that step (of several that meet only the last
remains), lets no change show before the second row, and moves each row's samples so that their mean is the trend.
Source: Prophet._sample_uncertainty and _logistic_uncertainty; `sampler_law` has the law of the displacement.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecasting.errors import RowsError
from forecasting.intervals import Uncertain
from forecasting.mixture_intervals import logistic_mean
from forecasting.sampler_law import lags_spread, steps_spread
from forecasting.state import ForecastModel
from forecasting.trend import Floats
from forecasting.trend_law import Spread

_EVEN = 1e-9  # of a step: rows as regular as this are one step apart each


def as_sampled(model: ForecastModel, t: Floats, rows: Uncertain) -> Uncertain:
    """The rows (R,) at scaled times t, all that are asked for, in any order, under the law of Prophet's sampler.

    About 30 ms for 365 daily rows; a third of a second where they are unevenly spaced and growth is logistic. Raises
    RowsError where Prophet itself fails: logistic growth with future rows that are all at one time, or with a
    changepoint after the history.
    """
    places = np.flatnonzero(t > 1)
    places = places[np.argsort(t[places], kind="stable")]
    if model.growth == "flat" or not len(places):
        return replace(rows, intensity=np.zeros(len(t)))
    future = t[places]
    step = float((future[-1] - future[0]) / (len(future) - 1)) if len(future) > 1 else _step_of_history(model)
    likelihood = min(1.0, model.n_changepoints * step)
    if model.growth == "linear":
        unit, law, count = step, steps_spread(len(future), likelihood), np.arange(1, len(future) + 1)
    else:
        unit, law, count = *_logistic_law(future, step, likelihood), np.arange(len(future))
    intensity = np.zeros(len(t))
    intensity[places] = likelihood * count
    scale = model.laplace_scale * (model.y_scale if model.growth == "linear" else 1.0)
    jump = np.broadcast_to(unit * scale, rows.yhat.shape)
    sampled = replace(rows, intensity=intensity, jump=jump, law=_placed(law, places, len(t)))
    return sampled if model.growth == "linear" else _recentred(model, t, step, sampled)


def _step_of_history(model: ForecastModel) -> float:
    """The mean step between the history's rows, which Prophet takes where one row is asked for."""
    if model.n_history < 2:
        raise RowsError("a compatible interval of a single row needs to know how many rows the history had")
    return 1.0 / (model.n_history - 1)


def _logistic_law(future: Floats, step: float, likelihood: float) -> tuple[float, Spread]:
    """The unit and the law at the future rows t (n,), ascending: each change counts from between its row and the next.

    A change drawn at a row is halved with the next row's, and shows from either on, by the rows' real times.
    """
    count = len(future)
    if count > 1 and np.ptp(np.diff(future)) <= _EVEN * step:
        earlier = steps_spread(count - 1, likelihood)
        none = Spread(np.ones(1), np.ones((1, earlier.spread.shape[1])), np.zeros((1, earlier.spread.shape[1])))
        return step, Spread(*(np.concatenate(parts) for parts in zip(none, earlier, strict=True)))
    between = (future + np.append(future[1:], future[-1])) / 2.0
    lags = np.tril(future[:, None] - between, -1)
    return 1.0, lags_spread(lags, likelihood)


def _placed(law: Spread, places: np.ndarray[tuple[int], np.dtype[np.intp]], count: int) -> Spread:
    """The law of `count` rows: at the places the one given, elsewhere nothing that moves."""
    nodes = law.spread.shape[1]
    atom, spread, weight = np.ones(count), np.ones((count, nodes)), np.zeros((count, nodes))
    atom[places], spread[places], weight[places] = law
    return Spread(atom, spread, weight)


def _recentred(model: ForecastModel, t: Floats, step: float, rows: Uncertain) -> Uncertain:
    """Logistic growth: the exponents that the sampler starts from, and trend and yhat so moved that its mean is 0."""
    if rows.theta is None or rows.cap is None or rows.law is None:
        raise ValueError("logistic growth needs theta, cap and a law")
    future = (t > 1)[:, None]
    theta = np.where(future, _rounded_theta(model, t, step), rows.theta)
    drift = np.where(future, logistic_mean(rows.law, theta, rows.jump, rows.cap), 0.0)
    return replace(rows, theta=theta, trend=rows.trend - drift, yhat=rows.yhat - rows.factor * drift)


def _rounded_theta(model: ForecastModel, t: Floats, step: float) -> Floats:
    """(R, D): each draw's exponent with the history's changepoints moved up to the sampler's grid of steps."""
    if step <= 0:
        raise RowsError("Prophet has no intervals for logistic growth where all future rows are at one time")
    grid = np.arange(0, 1 + step, step)
    at = grid.searchsorted(model.changepoints_t, side="right")
    if at[-1] == len(grid):
        raise RowsError("Prophet has no intervals for logistic growth with a changepoint after the history")
    last = np.append(np.diff(at) > 0, True)  # of the changepoints that meet at a step
    since = t[:, None] - grid[at[last]]
    slopes = model.delta[:, last]
    moved = np.vecdot(since[:, None, :], slopes)
    return np.asarray(model.k * (t[:, None] - model.m) + moved)
