"""A recipe carried out: several fits collapsed into one ordinary Prophet, its trend damped, its intervals widened.

Models on the same changepoints average by their parameters. What happens to the trend after the history is said by
changepoints there, so that the JSON of the result is any Prophet's, and stock Prophet forecasts the same from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from forecasting.calendar import mean_step
from forecasting.errors import FitError
from forecasting.features import NANOSECONDS_A_DAY, FeatureTable
from forecasting.fit import Outcome, SharedCalendar, by_dates
from forecasting.history import History
from forecasting.interval_table import linear_half_width, upper_tail
from forecasting.predict import predict
from forecasting.recipe import Pace, Recipe
from forecasting.spec import Mode, ProphetSpec
from forecasting.spec_features import features_of
from forecasting.state import Calibration, ForecastModel

Floats = npt.NDArray[np.float64]
Columns = Mapping[str, Floats]

_NEWEST = 12  # residuals that tell the level at the end of a history,
_FADING = 0.6  # each weighing so much of the one after it
_ARRIVED = 0.5  # steps after the history by which the level has shifted: no first step is shorter
_DAMPED = 0.01  # of the slope: what is left of it then is taken for nothing
_DENSE = 8  # a changepoint a step for the first so many steps, and so many whenever the distance has doubled or so


def fit_histories_by(recipe: Recipe, histories: Sequence[History], spec: ProphetSpec) -> list[Outcome]:
    """Fit one model a history, or say why not, in order; as `fit.fit_histories`, by a recipe."""
    return by_dates(histories, spec, lambda calendar, y, columns: fit_recipe(calendar, recipe, y, columns))


def fit_recipe(
    calendar: SharedCalendar, recipe: Recipe, y: Floats, columns: Columns | None = None, rows: int | None = None
) -> list[Outcome]:
    """Fit N series to the first `rows` dates of a calendar, whose spec the recipe is laid over.

    y: (N, rows), columns: as for `SharedCalendar.fit`, which also says what is raised. What a series gets depends on
    nothing but its own rows up to there. Only linear growth is damped, shifted and averaged. The calibration is that
    of all segments, `Pace.width`; `calibrate` refines it by the segment's own backtest.
    """
    rows, columns = len(calendar.ds) if rows is None else rows, columns or {}
    pace = recipe.pace(calendar.freq)
    modes: dict[Mode, list[int]] = defaultdict(list)
    for place, values in enumerate(y):
        modes[pace.mode(calendar.spec, values)].append(place)
    outcomes: dict[int, Outcome] = {}
    for mode, places in modes.items():
        told = replace(calendar, spec=_told(calendar, recipe, mode, rows))
        given = {name: values[places] if values.ndim == 2 else values for name, values in columns.items()}
        found = told.fit_scales(y[places], pace.scales(calendar.spec), given, rows)
        for at, (place, models) in enumerate(zip(places, found, strict=True)):
            if isinstance(models, FitError):
                outcomes[place] = models
                continue
            own = {name: values[at] if values.ndim == 2 else values for name, values in given.items()}
            outcomes[place] = _carry_on(collapse(models), pace, calendar, y[place], own)
    return [outcomes[place] for place in range(len(y))]


def _told(calendar: SharedCalendar, recipe: Recipe, mode: Mode, rows: int) -> ProphetSpec:
    spec = calendar.spec
    key = (recipe, spec, mode, rows)
    return calendar.kept(key, lambda: recipe.spec(spec, mode, calendar.ds[:rows], calendar.freq))


def average_of(outcomes: Sequence[Outcome]) -> Outcome:
    """The `average` of several recipes' models of one history, best first; the first error where there is none."""
    models = [outcome for outcome in outcomes if not isinstance(outcome, FitError)]
    return average(models) if models else outcomes[0]


def average(models: Sequence[ForecastModel]) -> ForecastModel:
    """The first model, averaged with those of the others that average with it (`averages`).

    The trend is exactly the mean of their trends: each has the changepoints of all, with a delta of 0 where it has
    none itself. What holds for `collapse` holds for the rest. The interval's half-width is the mean of theirs, exactly
    at the horizons that their calibrations name and where the multiplicative terms are 0.
    """
    models = [model for model in models if model is models[0] or averages(models[0], model)]
    if len(models) == 1:
        return models[0]
    changepoints = np.unique(np.concatenate([model.changepoints_t for model in models]))
    mean = collapse([_at_changepoints(model, changepoints) for model in models])
    known = [model.calibration or Calibration.overall(1.0) for model in models]
    horizons = np.unique(np.concatenate([calibration.horizons for calibration in known]))
    widths = [own.at(horizons) * _half_width(model, horizons) for own, model in zip(known, models, strict=True)]
    return replace(mean, calibration=_calibration(horizons, np.mean(widths, axis=0), _half_width(mean, horizons)))


def averages(one: ForecastModel, other: ForecastModel) -> bool:
    """Whether the parameters of two models of one history average: linear growth, the same terms in the same modes."""
    return one.growth == other.growth == "linear" and one.features == other.features


def recipes_average(calendar: SharedCalendar, y: Floats, one: Recipe, other: Recipe) -> bool:
    """Whether the models of two recipes of one history y (T,), on all dates of a calendar, will average."""
    return calendar.spec.growth == "linear" and _terms(calendar, y, one) == _terms(calendar, y, other)


def _terms(calendar: SharedCalendar, y: Floats, recipe: Recipe) -> FeatureTable:
    mode = recipe.pace(calendar.freq).mode(calendar.spec, y)
    return features_of(_told(calendar, recipe, mode, len(y)), calendar.ds)


def _at_changepoints(model: ForecastModel, changepoints: Floats) -> ForecastModel:
    """The same trend on more changepoints, (S,) ascending, among which are its own."""
    places = np.searchsorted(changepoints, model.changepoints_t)
    delta = np.bincount(places, weights=model.delta[0], minlength=len(changepoints)).astype(np.float64)
    return replace(model, changepoints_t=changepoints, delta=delta[None])


def collapse(models: Sequence[ForecastModel]) -> ForecastModel:
    """One model from several of linear growth on the same changepoints and features: the mean of their parameters.

    The trend is the mean of their trends, and so is a forecast whose terms are all additive. With multiplicative terms
    a forecast is short of the mean of theirs by the covariance of trend and seasonality over the models.
    """
    if len(models) == 1:
        return models[0]
    names = ("k", "m", "delta", "beta", "sigma_obs")
    means = {name: np.mean([getattr(model, name) for model in models], axis=0) for name in names}
    return replace(models[0], **means, log_posterior=None)


def _carry_on(model: ForecastModel, pace: Pace, calendar: SharedCalendar, y: Floats, columns: Columns) -> ForecastModel:
    """Damp, shift and widen a model that was fitted to y (rows,) with its columns."""
    if model.growth != "linear":
        return _widened(model, model, pace.width, np.zeros(1))
    step = mean_step(calendar.freq) * NANOSECONDS_A_DAY / model.t_scale
    newest = slice(-min(len(y), _NEWEST), None)
    shift = 0.0
    if pace.rho > 0.0:
        ds = calendar.ds[: len(y)][newest]
        shift = pace.rho * level(model, ds, y[newest], {name: values[newest] for name, values in columns.items()})
    damped = damp(model, pace.phi, shift, step)
    later = damped.changepoints_t[damped.changepoints_t > 1.0] - 1.0
    return _widened(model, damped, pace.width, later if len(later) else np.zeros(1))


def level(model: ForecastModel, ds: npt.NDArray[np.int64], y: Floats, columns: Columns) -> float:
    """By how much the trend, in scaled units, would have to be higher to explain rows (n,) best, newest last.

    Least squares with weights that fade into the past: y - yhat = level * (1 + multiplicative terms).
    """
    found = predict(model, ds, columns)
    weights, factor = _FADING ** np.arange(len(y))[::-1], 1.0 + found.multiplicative
    size = float(np.sum(weights * factor**2))
    return float(np.sum(weights * factor * (y - found.yhat))) / size / model.y_scale if size > 0.0 else 0.0


def damp(model: ForecastModel, phi: float, shift: float, step: float) -> ForecastModel:
    """A model of linear growth whose trend, after the history, is shifted and flattens out.

    With s the last slope, tau = (t - 1) / step and step in scaled time:
    trend(tau) = trend(0) + shift * min(2 tau, 1) + s * step * (phi + phi^2 + ... + phi^tau),
    linear between whole steps, and from the twelfth on between some of them; flat when a hundredth of s is left.
    Source of the damping: Gardner and McKenzie (1985), "Forecasting trends in time series", Management Science 31(10).
    """
    nodes = _nodes(phi, shifted=shift != 0.0)
    if len(nodes) < 2:
        return model
    slope = float(model.k[0] + model.delta[0].sum())
    heights = slope * step * _powers(phi, nodes) + shift * np.minimum(nodes / _ARRIVED, 1.0)
    later = slope if phi == 1.0 else 0.0
    slopes = np.concatenate([[slope], np.diff(heights) / (step * np.diff(nodes)), [later]])
    return replace(
        model,
        changepoints_t=np.concatenate([model.changepoints_t, 1.0 + step * nodes]),
        delta=np.concatenate([model.delta, np.diff(slopes)[None]], axis=1),
    )


def _nodes(phi: float, *, shifted: bool) -> Floats:
    """The steps after the history, from 0 on, at which the slope changes; only 0 where it never does."""
    nodes = [0.0, _ARRIVED] if shifted else [0.0]
    step, last = 0, 0 if phi == 1.0 else int(np.ceil(np.log(_DAMPED) / np.log(phi)))
    while step < last:
        step += max(1, round(step / _DENSE))
        nodes.append(float(step))
    return np.array(nodes)


def _powers(phi: float, tau: Floats) -> Floats:
    """phi + phi^2 + ... + phi^tau, linear between whole tau."""
    if phi == 1.0:
        return tau
    whole = np.floor(tau)
    value: Floats = phi * (1.0 - phi**whole) / (1.0 - phi) + (tau - whole) * phi ** (whole + 1.0)
    return value


def _widened(model: ForecastModel, damped: ForecastModel, width: float, horizons: Floats) -> ForecastModel:
    """The damped model with intervals `width` times as wide as those of the model before.

    Prophet counts changepoints after the history like others when it asks how uncertain a trend is; the factor takes
    that back, exactly where the multiplicative terms are 0.
    """
    if width == 1.0 and damped is model:
        return model
    before, after = (_half_width(each, horizons) for each in (model, damped))
    return replace(damped, calibration=_calibration(horizons, before, after, width))


def _calibration(horizons: Floats, wanted: Floats, raw: Floats, width: float = 1.0) -> Calibration:
    """What makes raw half-widths `width` times as large as the wanted ones, (H,) each."""
    ratio = np.divide(wanted, raw, out=np.ones_like(wanted), where=raw > 0.0)
    return Calibration(horizons, width * np.maximum(ratio, 1e-6))


def _half_width(model: ForecastModel, horizons: Floats) -> Floats:
    """The half-width of the uncalibrated interval at horizons (H,) in scaled time, in scaled units."""
    rate = 0 if model.growth == "flat" else model.n_changepoints
    noise = np.full(len(horizons), model.sigma_obs.mean())
    jump = float(model.laplace_scale[0]) * horizons
    return linear_half_width(upper_tail(model.interval_width), rate * horizons, jump, noise)
