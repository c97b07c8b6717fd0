"""Forecasts with their intervals: of one segment, of many at once, and any quantile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecasting.compat import as_sampled
from forecasting.interval_table import linear_half_width, prepare, trend_half_width, upper_tail
from forecasting.intervals import Bounds, Mode, Uncertain, bounds, yhat_quantiles
from forecasting.predict import Columns, Integers, Prediction, predict, predict_draws
from forecasting.predict_many import RowBlock, calibration_start, predict_many
from forecasting.state import ForecastModel
from forecasting.table import ModelTable, Records
from forecasting.trend import GROWTHS, Floats

__all__ = ["Forecast", "Mode", "forecast", "forecast_many", "prepare", "quantiles"]

Mask = npt.NDArray[np.bool_]

_LOGISTIC, _FLAT = GROWTHS.index("logistic"), GROWTHS.index("flat")


@dataclass(frozen=True, eq=False)
class Forecast(Prediction):
    """A prediction with the bounds of its central interval, each (rows,), in the unit of y.

    The interval of yhat is that of an observation; the trend's holds the trend alone.
    """

    yhat_lower: Floats
    yhat_upper: Floats
    trend_lower: Floats
    trend_upper: Floats


def forecast(
    model: ForecastModel,
    ds: Integers,
    columns: Columns | None = None,
    *,
    interval_width: float | None = None,
    components: bool = False,
    mode: Mode = Mode.PROCESS,
) -> Forecast:
    """Forecast one segment at the dates ds (rows,), in nanoseconds, in any order, also inside or before the history.

    columns: as for `predict`. interval_width: between 0 and 1, the model's own if None; the first use of a width costs
    a tenth of a second (`prepare` does it beforehand). The model's calibration widens or narrows yhat's interval.

    A row's interval depends on no other row, except where mode is COMPAT. As in Prophet, changes are expected at the
    rate of all the model's changepoints, S, and with the mean of their |delta|: those after the history, which damp a
    trend, count like the others. The intervals of such a model mean little unless it is calibrated.

    Raises RowsError as `predict` does, and ValueError for an interval_width that is none.
    """
    width = model.interval_width if interval_width is None else interval_width
    upper = upper_tail(width)
    found = predict(model, ds, columns, components=components)
    if mode is Mode.PROCESS and model.growth != "logistic" and model.n_draws == 1:
        between = _symmetric(model, found, upper)
    else:
        between = bounds(_uncertain(model, found, columns, mode), width)
    lower, higher = between.yhat_lower, between.yhat_upper
    if model.calibration is not None:
        factors = model.calibration.at(found.t - 1.0)
        lower, higher = (found.yhat + factors * (bound - found.yhat) for bound in (lower, higher))
    return _with_bounds(found, lower, higher, between.trend_lower, between.trend_upper)


def quantiles(
    model: ForecastModel,
    ds: Integers,
    columns: Columns | None,
    probabilities: Sequence[float],
    *,
    mode: Mode = Mode.PROCESS,
) -> Floats:
    """The quantiles (rows, len(probabilities)) of an observation at each row; otherwise as `forecast`.

    Calibration moves each quantile away from yhat, or towards it, as it does an interval's bound.
    """
    found = predict(model, ds, columns)
    values = yhat_quantiles(_uncertain(model, found, columns, mode), tuple(probabilities))
    if model.calibration is None:
        return values
    centre, factors = found.yhat[:, None], model.calibration.at(found.t - 1.0)[:, None]
    return centre + factors * (values - centre)


def forecast_many(
    table: ModelTable,
    rows: RowBlock,
    *,
    interval_width: float | Floats | None = None,
    components: bool = False,
) -> Forecast:
    """Forecast every row of the block, each as `forecast` does alone: to the last few bits, and to the bit whatever
    else is in the block.

    interval_width: one for all requests, one for each (Q,), or None for the models' own. Point estimates are done all
    at once, posterior draws model by model. Rows that lack what their model needs get NaN, as in `predict_many`.
    Raises ValueError for an interval_width that is none.
    """
    found = predict_many(table, rows, components=components)
    records = table.records.take(rows.models)
    given = records["interval_width"] if interval_width is None else interval_width
    widths = np.broadcast_to(np.asarray(given, dtype=np.float64), len(records))
    between = _joined(_pieces(table, rows, found, records, widths), len(rows.ds))
    lower, upper = between.yhat_lower, between.yhat_upper
    if records["n_calibrated"].any():
        factors = _factors(table, records, rows, found.t)
        lower, upper = (found.yhat + factors * (bound - found.yhat) for bound in (lower, upper))
    return _with_bounds(found, lower, upper, between.trend_lower, between.trend_upper)


def _symmetric(model: ForecastModel, found: Prediction, upper: float) -> Bounds:
    """The bounds of a point estimate of linear or flat growth: in a line, because this is what is asked for most."""
    ahead = np.maximum(found.t - 1.0, 0.0)
    rate, scale = (0.0, 0.0) if model.growth == "flat" else (model.n_changepoints, float(model.laplace_scale[0]))
    intensity, jump = rate * ahead, (scale * model.y_scale) * ahead
    noise = model.sigma_obs[0] * model.y_scale
    half = linear_half_width(upper, intensity, jump * np.abs(1.0 + found.multiplicative), noise)
    trend_half = trend_half_width(upper, intensity, jump)
    return Bounds(found.yhat - half, found.yhat + half, found.trend - trend_half, found.trend + trend_half)


def _uncertain(model: ForecastModel, found: Prediction, columns: Columns | None, mode: Mode) -> Uncertain:
    """What any interval needs to know of the rows."""
    if model.n_draws > 1:
        draws = predict_draws(model, found.ds, columns)
        theta, trend, yhat, multiplicative = draws.theta, draws.trend, draws.yhat, draws.multiplicative
    else:
        parts = (found.theta, found.trend, found.yhat, found.multiplicative)
        theta, trend, yhat, multiplicative = (values[:, None] for values in parts)
    ahead = np.maximum(found.t - 1.0, 0.0) * (0.0 if model.growth == "flat" else 1.0)
    logistic = model.growth == "logistic"
    rows = Uncertain(
        growth=model.growth,
        intensity=model.n_changepoints * ahead,
        yhat=yhat,
        trend=trend,
        factor=1.0 + multiplicative,
        noise=np.broadcast_to(model.sigma_obs * model.y_scale, yhat.shape),
        jump=ahead[:, None] * (model.laplace_scale * (1.0 if logistic else model.y_scale)),
        theta=theta if logistic else None,
        cap=None if found.cap is None else found.cap * model.y_scale,
    )
    return as_sampled(model, found.t, rows) if mode is Mode.COMPAT else rows


def _pieces(
    table: ModelTable, rows: RowBlock, found: Prediction, records: Records, widths: Floats
) -> Iterator[tuple[Integers | slice, Bounds]]:
    """Rows that can be done at once, with their bounds; rows without a forecast may be left out."""
    points, logistic = records["n_draws"] == 1, records["growth"] == _LOGISTIC
    for width in set(widths.tolist()):
        asked = widths == width
        if (own := asked & points & ~logistic).any():
            yield _symmetric_rows(rows, found, records, own, upper_tail(width))
        if (own := asked & points & logistic).any():
            yield _logistic_rows(rows, found, records, own, width)
        for request in np.flatnonzero(asked & ~points):
            yield _rows_of_draws(table, rows, found, int(request), width)


def _joined(pieces: Iterable[tuple[Integers | slice, Bounds]], count: int) -> Bounds:
    """The bounds of all rows (count,), NaN where no piece has them."""
    found = list(pieces)
    if len(found) == 1 and isinstance(found[0][0], slice):
        return found[0][1]
    joined = Bounds(*(np.full(count, np.nan) for _ in range(4)))
    for own, part in found:
        for whole, values in zip(vars(joined).values(), vars(part).values(), strict=True):
            whole[own] = values
    return joined


def _symmetric_rows(
    rows: RowBlock, found: Prediction, records: Records, requests: Mask, upper: float
) -> tuple[Integers | slice, Bounds]:
    """Point estimates of linear and flat growth: `_symmetric` for many models."""
    own, lengths = rows.of(requests)
    records = records.compress(requests)
    moves = records["growth"] != _FLAT
    each = (
        records["n_changepoints"] * moves,
        records["laplace_scale"] * records["y_scale"] * moves,
        records["sigma_obs"] * records["y_scale"],
    )
    rate, scale, noise = (np.repeat(values, lengths) for values in each)
    ahead = np.maximum(found.t[own] - 1.0, 0.0)
    intensity, jump = rate * ahead, scale * ahead
    half = linear_half_width(upper, intensity, jump * np.abs(1.0 + found.multiplicative[own]), noise)
    trend_half = trend_half_width(upper, intensity, jump)
    yhat, trend = found.yhat[own], found.trend[own]
    return own, Bounds(yhat - half, yhat + half, trend - trend_half, trend + trend_half)


def _logistic_rows(
    rows: RowBlock, found: Prediction, records: Records, requests: Mask, width: float
) -> tuple[Integers | slice, Bounds]:
    """Point estimates of logistic growth: those of their rows that have a forecast."""
    own = np.flatnonzero(np.repeat(requests, rows.lengths) & np.isfinite(found.yhat))
    names = ("n_changepoints", "laplace_scale", "sigma_obs", "y_scale")
    rate, scale, sigma, y_scale = (np.repeat(records[name], rows.lengths)[own] for name in names)
    ahead = np.maximum(found.t[own] - 1.0, 0.0)
    alone = Uncertain(
        growth="logistic",
        intensity=rate * ahead,
        yhat=found.yhat[own, None],
        trend=found.trend[own, None],
        factor=1.0 + found.multiplicative[own, None],
        noise=(sigma * y_scale)[:, None],
        jump=(scale * ahead)[:, None],
        theta=found.theta[own, None],
        cap=None if found.cap is None else found.cap[own] * y_scale,
    )
    return own, bounds(alone, width)


def _rows_of_draws(
    table: ModelTable, rows: RowBlock, found: Prediction, request: int, width: float
) -> tuple[Integers | slice, Bounds]:
    """One model with posterior draws: those of its rows that have a forecast."""
    model = table.model(int(rows.models[request]))
    own = np.arange(rows.offsets[request], rows.offsets[request + 1])
    own = own[np.isfinite(found.yhat[own])]
    columns = {name: rows.column(name)[own] for name in model.required_columns}
    return own, bounds(_uncertain(model, predict(model, rows.ds[own], columns), columns, Mode.PROCESS), width)


def _factors(table: ModelTable, records: Records, rows: RowBlock, t: Floats) -> Floats:
    """(N,): `Calibration.at` for every row, 1 where a model has none."""
    result = np.ones(len(t))
    for count in set(records["n_calibrated"].tolist()) - {0}:
        requests = records["n_calibrated"] == count
        own, lengths = rows.of(requests)
        first = calibration_start(records[requests])
        numbers = table.arena[first[:, None] + np.arange(2 * count)][np.repeat(np.arange(len(first)), lengths)]
        horizons, factors = numbers[:, :count], numbers[:, count:]
        after = (horizons <= t[own, None] - 1.0).sum(axis=1)
        left, right, row = np.maximum(after - 1, 0), np.minimum(after, count - 1), np.arange(len(after))
        span = horizons[row, right] - horizons[row, left]
        part = np.where(span > 0, (t[own] - 1.0 - horizons[row, left]) / np.where(span > 0, span, 1.0), 0.0)
        result[own] = factors[row, left] + part * (factors[row, right] - factors[row, left])
    return result


def _with_bounds(found: Prediction, lower: Floats, upper: Floats, trend_lower: Floats, trend_upper: Floats) -> Forecast:
    return Forecast(
        found.ds,
        found.t,
        found.theta,
        found.trend,
        found.yhat,
        found.additive,
        found.multiplicative,
        found.cap,
        found.components,
        lower,
        upper,
        trend_lower,
        trend_upper,
    )
