"""Forecasts of one segment: yhat, trend and components, equal to Prophet.predict.

Each row is computed on its own: a forecast does not depend on which other rows are asked for, nor on their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from forecasting.errors import RowsError
from forecasting.features import FeatureTable, read_column
from forecasting.state import ForecastModel
from forecasting.trend import Floats, lines, sigmoid

Integers = npt.NDArray[np.int64]
Columns = Mapping[str, npt.NDArray[np.generic]]

_KEPT_ROWS = 100  # a forecast of more rows is rare, and its design too large to keep


@dataclass(frozen=True, eq=False)
class Prediction:
    """A forecast; every array is (rows,), in the order of the rows.

    ds: nanoseconds. t: scaled time. theta: the trend's line there, scaled; with logistic growth its exponent.
    trend, yhat, additive: in the unit of y. multiplicative: share of the trend.
    cap: scaled as Prophet's cap_scaled, (cap - floor) / y_scale; None unless growth is logistic (in a batch: NaN
    where it is not). components: by name, in Prophet's order; empty if they were not asked for.
    """

    ds: Integers
    t: Floats
    theta: Floats
    trend: Floats
    yhat: Floats
    additive: Floats
    multiplicative: Floats
    cap: Floats | None
    components: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class Draws:
    """What each of the D posterior draws says of each row, (rows, D); theta as in Prediction, the rest in y's unit."""

    theta: Floats
    trend: Floats
    yhat: Floats
    multiplicative: Floats


def predict(
    model: ForecastModel, ds: Integers, columns: Columns | None = None, *, components: bool = False
) -> Prediction:
    """Forecast one segment at the dates ds (rows,), in nanoseconds.

    columns: by name, the (rows,) arrays of `model.required_columns`. Raises RowsError naming one that is missing,
    of another length, or holds a value that the model cannot use.
    """
    columns = _checked(columns, len(ds))
    t = (ds - model.start) / model.t_scale
    theta = model.trend_lines.at(t)
    trend, cap = _trend(model, theta, columns)
    parts: dict[str, Floats] = {}
    if components:
        effects = _effects(model, ds, columns, model.coefficients.T)
        parts = {name: effects[:, place] for place, name in enumerate(model.features.components)}
        additive, multiplicative = parts["additive_terms"], parts["multiplicative_terms"]
    else:
        additive, multiplicative = _effects(model, ds, columns, model.term_coefficients.T).T
    yhat = trend * (1.0 + multiplicative) + additive
    return Prediction(ds, t, theta, trend, yhat, additive, multiplicative, cap, parts)


def predict_draws(model: ForecastModel, ds: Integers, columns: Columns | None = None) -> Draws:
    """The forecast of each posterior draw, of which `predict` gives the one at their mean; raises as it does."""
    columns = _checked(columns, len(ds))
    t = (ds - model.start) / model.t_scale
    theta = _draw_theta(model, t)
    trend, _ = _trend(model, theta, columns)
    inside = {name: model.features.membership[:, place] for place, name in enumerate(model.features.components)}
    additive = _effects(model, ds, columns, model.beta * inside["additive_terms"] * model.y_scale)
    multiplicative = _effects(model, ds, columns, model.beta * inside["multiplicative_terms"])
    return Draws(theta, trend, trend * (1.0 + multiplicative) + additive, multiplicative)


def component_bounds(
    model: ForecastModel, ds: Integers, columns: Columns | None = None, *, interval_width: float | None = None
) -> dict[str, tuple[Floats, Floats]]:
    """The lower and upper bound of each component, as Prophet gives them: percentiles over the posterior draws.

    With a point estimate there is one draw, and both bounds are the component itself.
    """
    columns = _checked(columns, len(ds))
    width = model.interval_width if interval_width is None else interval_width
    tails = [100 * (1.0 - width) / 2, 100 * (1.0 + width) / 2]
    bounds: dict[str, tuple[Floats, Floats]] = {}
    for place, name in enumerate(model.features.components):
        scale = model.y_scale if model.features.is_additive[place] else 1.0
        draws = model.beta * model.features.membership[:, place] * scale
        lower, upper = np.percentile(_effects(model, ds, columns, draws), tails, axis=1)
        bounds[name] = lower, upper
    return bounds


def _checked(columns: Columns | None, rows: int) -> Columns:
    columns = columns or {}
    for name, values in columns.items():
        if len(values) != rows:
            raise RowsError(f"the column {name} has {len(values)} values for {rows} rows")
    return columns


def _trend(model: ForecastModel, theta: Floats, columns: Columns) -> tuple[Floats, Floats | None]:
    """The trend, of the shape of theta: (rows,) or (rows, D), in the unit of y, and the scaled cap (rows,)."""
    if model.growth != "logistic":
        return theta * model.y_scale + model.constant_floor, None
    floor = read_column(columns, "floor") if model.has_floor else np.full(len(theta), model.constant_floor)
    cap = (read_column(columns, "cap") - floor) / model.y_scale
    if np.any(cap <= 0):
        raise RowsError("cap must be greater than floor (which defaults to 0) in every forecast row")
    along = (slice(None), *(None,) * (theta.ndim - 1))
    return cap[along] * sigmoid(theta) * model.y_scale + floor[along], cap


def _draw_theta(model: ForecastModel, t: Floats) -> Floats:
    """The line of each draw's trend at each t, (rows, D)."""
    draws = [
        lines(model.growth, float(k), float(m), delta, model.changepoints_t).at(t)
        for k, m, delta in zip(model.k, model.m, model.delta, strict=True)
    ]
    return np.ascontiguousarray(np.stack(draws, axis=1))


def _effects(model: ForecastModel, ds: Integers, columns: Columns, coefficients: Floats) -> Floats:
    """The design matrix times the transpose of coefficients (C, K): (rows, C).

    By dot products and not as one product of matrices, whose last bits depend on how many rows there are.
    """
    features: FeatureTable = model.features
    if features.conditions or len(ds) > _KEPT_ROWS:
        design = features.calendar_design(ds, columns)
    else:
        design = _kept_design(features, ds.tobytes())
    if features.regressors:
        standardised = (features.regressor_values(columns) - model.regressor_mean) / model.regressor_std
        design = np.hstack([design, standardised])
    effects: Floats = np.vecdot(design[:, None, :], coefficients[:, : design.shape[1]])
    return effects


@lru_cache(maxsize=256)
def _kept_design(features: FeatureTable, stamps: bytes) -> Floats:
    """The calendar's columns for dates: segments of one kind are asked for the same days all day long."""
    design = features.calendar_design(np.frombuffer(stamps, dtype=np.int64))
    design.flags.writeable = False
    return design
