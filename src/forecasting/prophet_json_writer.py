"""A ForecastModel written as Prophet's own JSON, so that prophet.serialize.model_from_json reads it back.

A Prophet remembers its history and how it was told to fit; a ForecastModel does not, so both are handed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.errors import ModelError
from forecasting.features import NANOSECONDS_A_DAY, FeatureTable, HolidayTerms
from forecasting.pandas_json import Texts, date_texts, number_texts, series_text, table_text
from forecasting.prophet_json import OWN_KEY
from forecasting.state import ForecastModel

Integers = npt.NDArray[np.int64]

_KEPT = 4  # calendars, and kinds of features, whose texts are kept for the next segment
_FORMAT = "1.5.0"  # the version of Prophet whose format this is
_SETTINGS: Mapping[str, Any] = {  # what a forecast does not depend on, and Prophet's own values for it
    "specified_changepoints": False,
    "changepoint_range": 0.8,
    "yearly_seasonality": "auto",
    "weekly_seasonality": "auto",
    "daily_seasonality": "auto",
    "seasonality_mode": "additive",
    "seasonality_prior_scale": 10.0,
    "changepoint_prior_scale": 0.05,
    "holidays_prior_scale": 10.0,
    "holidays_mode": "additive",
    "uncertainty_samples": 1000,
    "mcmc_samples": 0,
}


def write_model(model: ForecastModel, history: pd.DataFrame, settings: Mapping[str, Any] | None = None) -> str:
    """Write a model with the history that it was fitted to.

    history: ds (datetime64, naive, ascending), y, and `model.required_columns`, in their own units; rows without a y
    only name dates. settings: how the fit was told to go, by the names of Prophet's own attributes; Prophet's
    defaults otherwise. Raises ModelError naming a setting that Prophet does not have, or that the model itself says.
    """
    unknown = sorted(set(settings or {}) - set(_SETTINGS))
    if unknown:
        raise ModelError(f"no settings of Prophet beside those that the model itself says: {', '.join(unknown)}")
    features, holidays = model.features, model.features.holidays
    changepoints, dates = _changepoints(model), _nanoseconds(history)
    state: dict[str, Any] = {**_SETTINGS, **(settings or {})}
    state |= {
        "growth": model.growth,
        "n_changepoints": len(changepoints),
        "interval_width": model.interval_width,
        "y_scale": model.y_scale,
        "y_min": model.y_min,
        "scaling": model.scaling,
        "logistic_floor": model.has_floor,
        "start": model.start / 1e9,
        "t_scale": model.t_scale / 1e9,
        "changepoints_t": model.changepoints_t.tolist(),
        "changepoints": series_text("ds", date_texts(changepoints)),
        "history": _history(model, history),
        "history_dates": _dates_series(dates.tobytes()),
        "seasonalities": _seasonalities(features),
        "extra_regressors": _regressors(model),
        "country_holidays": holidays.country if holidays else None,
        "holidays": _holidays(holidays) if holidays and holidays.dates else None,
        "train_holiday_names": series_text(None, map(json.dumps, holidays.names)) if holidays else None,
        "component_modes": _component_modes(features),
        "train_component_cols": _component_columns(features),
        "fit_kwargs": {},
        "params": _parameters(model),
        "__prophet_version": _FORMAT,
        OWN_KEY: _own(model),
    }
    if holidays is not None:
        state |= {"holidays_mode": holidays.mode, "holidays_prior_scale": holidays.prior_scale}
    return json.dumps(state)


def _nanoseconds(history: pd.DataFrame) -> Integers:
    return pd.DatetimeIndex(history["ds"]).as_unit("ns").asi8


def _changepoints(model: ForecastModel) -> Integers:
    """The changepoints' dates in nanoseconds, none where the one at 0 only stands in for them."""
    if model.n_changepoints == 1 and model.changepoints_t[0] == 0 and not model.delta.any():
        return np.empty(0, dtype=np.int64)
    # To the microsecond, because scaled time has not all the digits that nanoseconds have.
    return (model.start // 1000 + np.round(model.changepoints_t * model.t_scale / 1000).astype(np.int64)) * 1000


def _history(model: ForecastModel, history: pd.DataFrame) -> str:
    """The rows with a y and the columns that Prophet adds to them, its regressors standardised."""
    known = history["y"].notna().to_numpy()
    values = {name: history[name].to_numpy()[known] for name in ("y", *model.required_columns)}
    floor = values["floor"] if model.has_floor else model.constant_floor
    if model.growth == "logistic":
        values["cap_scaled"] = (values["cap"] - floor) / model.y_scale
    values["y_scaled"] = (values["y"] - floor) / model.y_scale
    for place, term in enumerate(model.features.regressors):
        values[term.name] = (values[term.name] - model.regressor_mean[place]) / model.regressor_std[place]
    columns = {name: _texts(column) for name, column in values.items()}
    if not model.has_floor:
        columns["floor"] = Texts("number", [repr(model.constant_floor)] * len(values["y"]))
    dates, times = _dates_and_times(_nanoseconds(history)[known].tobytes(), model.start, model.t_scale)
    return table_text({"ds": dates, **columns, "t": times})


def _texts(values: npt.NDArray[np.generic]) -> Texts:
    """Booleans as they are, and all else as numbers."""
    if values.dtype == bool:
        return Texts("boolean", ["true" if value else "false" for value in values])
    return number_texts(values.astype(np.float64))


@lru_cache(maxsize=_KEPT)
def _dates_series(stamps: bytes) -> str:
    """The distinct dates; segments on one calendar share them."""
    return series_text("ds", date_texts(np.unique(np.frombuffer(stamps, dtype=np.int64))))


@lru_cache(maxsize=_KEPT)
def _dates_and_times(stamps: bytes, start: int, t_scale: float) -> tuple[Texts, Texts]:
    """The dates and scaled times of a history; segments on one calendar share them."""
    ds = np.frombuffer(stamps, dtype=np.int64)
    return Texts("datetime", date_texts(ds)), number_texts((ds - start) / t_scale)


@lru_cache(maxsize=_KEPT)
def _component_columns(features: FeatureTable) -> str:
    columns = zip(features.components, features.membership.T, strict=True)
    return table_text({name: Texts("integer", [str(int(inside)) for inside in column]) for name, column in columns})


def _seasonalities(features: FeatureTable) -> list[Any]:
    terms = {
        term.name: {
            "period": term.period,
            "fourier_order": term.order,
            "prior_scale": term.prior_scale,
            "mode": term.mode,
            "condition_name": term.condition,
        }
        for term in features.seasonalities
    }
    return [list(terms), terms]


def _regressors(model: ForecastModel) -> list[Any]:
    terms = {
        term.name: {
            "prior_scale": term.prior_scale,
            "standardize": term.standardize,
            "mu": float(model.regressor_mean[place]),
            "std": float(model.regressor_std[place]),
            "mode": term.mode,
            "predictor_spec": None,
            "predictor": None,
        }
        for place, term in enumerate(model.features.regressors)
    }
    return [list(terms), terms]


def _holidays(holidays: HolidayTerms) -> str:
    dates = holidays.dates
    days = np.array([date.day for date in dates], dtype=np.int64) * NANOSECONDS_A_DAY
    columns = {
        "holiday": Texts("string", [json.dumps(date.name) for date in dates]),
        "ds": Texts("datetime", date_texts(days)),
        "lower_window": Texts("integer", [str(date.lower_window) for date in dates]),
        "upper_window": Texts("integer", [str(date.upper_window) for date in dates]),
    }
    if any(date.prior_scale is not None for date in dates):
        columns["prior_scale"] = Texts("number", [json.dumps(date.prior_scale) for date in dates])
    return table_text(columns)


def _component_modes(features: FeatureTable) -> dict[str, list[str]]:
    modes: dict[str, list[str]] = {}
    for mode, wanted in (("additive", True), ("multiplicative", False)):
        names = [name for name, is_so in zip(features.components, features.is_additive, strict=True) if is_so == wanted]
        modes[mode] = [*names, *({f"{mode}_terms", f"extra_regressors_{mode}"} - set(names))]
    return modes


def _parameters(model: ForecastModel) -> dict[str, Any]:
    """Each (D, its length), but the scalars of a sampler (D,), as Prophet has them."""
    parameters: dict[str, Any] = {name: getattr(model, name) for name in ("k", "m", "sigma_obs", "delta", "beta")}
    if model.n_draws == 1:
        parameters = {name: values.reshape(1, -1) for name, values in parameters.items()}
    parameters = {name: values.tolist() for name, values in parameters.items()}
    if model.log_posterior is not None:
        parameters["lp__"] = [[model.log_posterior]]
    return parameters


def _own(model: ForecastModel) -> dict[str, Any]:
    calibration = model.calibration and {
        "horizons": model.calibration.horizons.tolist(),
        "factors": model.calibration.factors.tolist(),
    }
    return {"solver": model.solver, "freq": model.freq, "calibration": calibration}
