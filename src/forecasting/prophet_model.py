"""The real Prophet at arm's length: fit quietly, predict reproducibly, read and write its JSON.

Everything the product asks of the prophet package goes through these functions, so the noise of cmdstan,
the global random state and the shape of its frames are dealt with once.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from prophet import Prophet
from prophet.serialize import model_from_json, model_to_json

from forecasting.errors import FitError, ModelError, RowsError
from forecasting.history import History
from forecasting.spec import ProphetSpec, Solver

_NOISY_LOGGERS = ("prophet", "cmdstanpy")


def fit(history: History, spec: ProphetSpec, solver: Solver = "exact") -> Prophet:
    """Fit one Prophet to a checked history; `solver_of` says what found its parameters in the end.

    Raises FitError when the optimiser fails; its message ends with what cmdstan said.
    """
    model = _build(spec)
    if solver == "exact":
        from forecasting.backend import with_exact_solver  # numba, which those who only predict need not load

        with_exact_solver(model)
    frame = with_bounds(history.frame, growth=spec.growth, cap=spec.cap, floor=spec.floor)
    with _kept_chatter() as chatter:
        try:
            model.fit(frame)
        except Exception as error:  # prophet and cmdstanpy raise bare Exceptions and RuntimeErrors
            raise FitError(f"Prophet could not be fitted: {error}", chatter.getvalue()) from error
    return model


def solver_of(model: Prophet) -> Solver:
    """What found a model's parameters: exact, or cmdstan, which also fits what the exact solver hands on."""
    found: Solver | None = getattr(model.stan_backend, "solver", None)
    return found or "cmdstan"


def predict(model: Prophet, rows: pd.DataFrame, *, interval_width: float | None = None, seed: int) -> pd.DataFrame:
    """Forecast the given rows with Prophet.predict.

    rows: ds (naive datetime64), plus cap/floor and every regressor the model was fitted with.
    Prophet draws its interval from numpy's global generator; it is seeded here, and put back after,
    so that the same seed gives the same interval.
    Returns Prophet's own frame: ds, yhat, yhat_lower, yhat_upper, trend and one column a component.
    Raises RowsError naming the columns that rows lacks.
    """
    missing = sorted(set(required_columns(model)) - set(rows.columns))
    if missing:
        raise RowsError(f"this model needs {', '.join(missing)} for every forecast row")
    width, state = model.interval_width, np.random.get_state()
    model.interval_width = width if interval_width is None else interval_width
    np.random.seed(seed)
    try:
        return model.predict(rows)
    finally:
        model.interval_width = width
        np.random.set_state(state)


def with_bounds(rows: pd.DataFrame, *, growth: str, cap: float | None, floor: float | None) -> pd.DataFrame:
    """Add constant cap and floor columns where rows does not carry its own."""
    bounds = {"cap": cap, "floor": floor} if growth == "logistic" else {}
    missing = {name: value for name, value in bounds.items() if value is not None and name not in rows}
    return rows.assign(**missing) if missing else rows


def required_columns(model: Prophet) -> tuple[str, ...]:
    """The columns beside ds that this model's forecast rows must carry."""
    columns = list(model.extra_regressors)
    if model.growth == "logistic":
        columns.append("cap")
        if model.logistic_floor:
            columns.append("floor")
    conditions = (seasonality["condition_name"] for seasonality in model.seasonalities.values())
    columns.extend(name for name in conditions if name is not None)
    return tuple(columns)


def component_columns(model: Prophet) -> tuple[str, ...]:
    """The additive and multiplicative parts of a forecast that have a name of their own."""
    names = {"trend", *model.seasonalities, *model.extra_regressors}
    if model.train_holiday_names is not None:
        names.update(("holidays", *model.train_holiday_names))
    return tuple(sorted(names))


def history_rows(model: Prophet) -> pd.DataFrame:
    """The rows that the model was fitted to, as `predict` takes them: ds and the required columns."""
    rows = _history(model)[["ds", *required_columns(model)]].reset_index(drop=True)
    for name, regressor in model.extra_regressors.items():  # kept standardised; predict would do it once more
        rows[name] = rows[name] * regressor["std"] + regressor["mu"]
    return rows


def history_dates(model: Prophet) -> pd.DatetimeIndex:
    """The dates that the model was fitted to, ascending."""
    return pd.DatetimeIndex(_history(model)["ds"]).sort_values()


def to_json(model: Prophet) -> str:
    """Write a fitted model in Prophet's own JSON format."""
    return str(model_to_json(model))


def from_json(text: str) -> Prophet:
    """Read a model in Prophet's own JSON format.

    Raises ModelError when the text is not a fitted Prophet.
    """
    try:
        model = model_from_json(text)
    except Exception as error:  # the reader raises whatever the malformed part happens to hit
        raise ModelError(f"not a Prophet in JSON: {type(error).__name__}: {error}") from error
    if model.history is None or not model.params:
        raise ModelError("a Prophet in JSON, but one that was never fitted")
    for name, values in model.params.items():
        if not np.isfinite(np.asarray(values, dtype=float)).all():
            raise ModelError(f"a Prophet whose parameter {name} is not finite")
    return model


def _build(spec: ProphetSpec) -> Prophet:
    model = Prophet(
        growth=spec.growth,
        n_changepoints=spec.n_changepoints,
        changepoint_range=spec.changepoint_range,
        changepoint_prior_scale=spec.changepoint_prior_scale,
        seasonality_mode=spec.seasonality_mode,
        seasonality_prior_scale=spec.seasonality_prior_scale,
        yearly_seasonality=spec.yearly_seasonality,
        weekly_seasonality=spec.weekly_seasonality,
        daily_seasonality=spec.daily_seasonality,
        holidays_prior_scale=spec.holidays_prior_scale,
        interval_width=spec.interval_width,
    )
    for seasonality in spec.seasonalities:
        model.add_seasonality(**seasonality.model_dump())
    for regressor in spec.regressors:
        model.add_regressor(**regressor.model_dump())
    if spec.country_holidays is not None:
        model.add_country_holidays(spec.country_holidays)
    return model


def _history(model: Prophet) -> pd.DataFrame:
    """The frame that Prophet keeps of its fit; `from_json` and `fit` give no model without one."""
    assert model.history is not None
    return model.history


@contextlib.contextmanager
def _kept_chatter() -> Iterator[io.StringIO]:
    """Keep what prophet and cmdstanpy log away from the terminal, for a FitError to show."""
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    before: list[tuple[logging.Logger, Any]] = []
    for name in _NOISY_LOGGERS:
        logger = logging.getLogger(name)
        before.append((logger, (logger.handlers[:], logger.propagate, logger.level, logger.disabled)))
        logger.handlers, logger.propagate, logger.disabled = [handler], False, False
        logger.setLevel(logging.DEBUG)
    try:
        yield kept
    finally:
        for logger, (handlers, propagate, level, disabled) in before:
            logger.handlers, logger.propagate, logger.disabled = handlers, propagate, disabled
            logger.setLevel(level)
