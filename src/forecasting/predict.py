"""Forecasts of one segment: yhat, trend and components, equal to Prophet.predict.

Each row is computed on its own: a forecast does not depend on which other rows are asked for, nor on their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecasting.errors import RowsError
from forecasting.features import FeatureTable, read_column
from forecasting.state import ForecastModel
from forecasting.trend import Floats, sigmoid

Integers = npt.NDArray[np.int64]
Columns = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class Prediction:
    """A forecast; every array is (rows,), in the order of the rows.

    ds: nanoseconds. t: scaled time. trend, yhat, additive, floor: in the unit of y. multiplicative: share of the trend.
    cap: scaled as Prophet's cap_scaled, (cap - floor) / y_scale; None unless growth is logistic (in a batch: NaN
    where it is not). components: by name, in Prophet's order; empty if they were not asked for.
    """

    ds: Integers
    t: Floats
    trend: Floats
    yhat: Floats
    additive: Floats
    multiplicative: Floats
    floor: Floats
    cap: Floats | None
    components: Mapping[str, Floats]

    @property
    def trend_factor(self) -> Floats:
        """|1 + multiplicative|: by how much an error of the trend shows in yhat."""
        return np.abs(1.0 + self.multiplicative)


def predict(
    model: ForecastModel, ds: Integers, columns: Columns | None = None, *, components: bool = False
) -> Prediction:
    """Forecast one segment at the dates ds (rows,), in nanoseconds.

    columns: by name, the (rows,) arrays of `model.required_columns`. Raises RowsError naming one that is missing,
    of another length, or holds a value that the model cannot use.
    """
    columns = _checked(columns, len(ds))
    t = (ds - model.start) / model.t_scale
    trend, floor, cap = _trend(model, t, columns)
    coefficients = model.coefficients if components else model.term_coefficients
    effects = _effects(model, ds, columns, coefficients)
    if components:
        names = model.features.components
        additive, multiplicative = (effects[:, names.index(f"{mode}_terms")] for mode in ("additive", "multiplicative"))
        parts = {name: effects[:, place] for place, name in enumerate(names)}
    else:
        additive, multiplicative, parts = effects[:, 0], effects[:, 1], {}
    yhat = trend * (1.0 + multiplicative) + additive
    return Prediction(ds, t, trend, yhat, additive, multiplicative, floor, cap, parts)


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
        draws = (model.beta * model.features.membership[:, place] * scale).T  # (K, D)
        lower, upper = np.percentile(_effects(model, ds, columns, draws), tails, axis=1)
        bounds[name] = lower, upper
    return bounds


def _checked(columns: Columns | None, rows: int) -> Columns:
    columns = columns or {}
    for name, values in columns.items():
        if len(values) != rows:
            raise RowsError(f"the column {name} has {len(values)} values for {rows} rows")
    return columns


def _trend(model: ForecastModel, t: Floats, columns: Columns) -> tuple[Floats, Floats, Floats | None]:
    """The trend and floor in the unit of y, and for logistic growth the scaled cap."""
    theta = model.trend_lines.at(t)
    if model.growth != "logistic":
        floor = np.full(len(t), model.constant_floor)
        return theta * model.y_scale + floor, floor, None
    floor = read_column(columns, "floor") if model.has_floor else np.full(len(t), model.constant_floor)
    cap = (read_column(columns, "cap") - floor) / model.y_scale
    if np.any(cap <= 0):
        raise RowsError("cap must be greater than floor (which defaults to 0) in every forecast row")
    return cap * sigmoid(theta) * model.y_scale + floor, floor, cap


def _effects(model: ForecastModel, ds: Integers, columns: Columns, coefficients: Floats) -> Floats:
    """The design matrix times coefficients (K, anything), without ever laying the regressors beside the calendar."""
    features: FeatureTable = model.features
    width = features.n_calendar
    effects: Floats = features.calendar_design(ds, columns) @ coefficients[:width]
    if features.regressors:
        standardised = (features.regressor_values(columns) - model.regressor_mean) / model.regressor_std
        effects += standardised @ coefficients[width:]
    return effects
