"""A ForecastModel written as Prophet's own JSON, so that prophet.serialize.model_from_json reads it back.

A Prophet remembers its history and how it was told to fit; a ForecastModel does not, so both are handed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from forecasting.errors import ModelError
from forecasting.features import FeatureTable, HolidayTerms
from forecasting.prophet_json import OWN_KEY
from forecasting.state import ForecastModel

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
    changepoints = _changepoints(model)
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
        "changepoints": _split(changepoints),
        "history": _table(_prophet_history(model, history)),
        "history_dates": _split(history["ds"].drop_duplicates().sort_values()),
        "seasonalities": _seasonalities(features),
        "extra_regressors": _regressors(model),
        "country_holidays": holidays.country if holidays else None,
        "holidays": _table(_holiday_frame(holidays)) if holidays and holidays.dates else None,
        "train_holiday_names": _split(pd.Series(list(holidays.names))) if holidays else None,
        "component_modes": _component_modes(features),
        "train_component_cols": _table(
            pd.DataFrame(features.membership.astype(int), columns=list(features.components))
        ),
        "fit_kwargs": {},
        "params": _parameters(model),
        "__prophet_version": _FORMAT,
        OWN_KEY: _own(model),
    }
    if holidays is not None:
        state |= {"holidays_mode": holidays.mode, "holidays_prior_scale": holidays.prior_scale}
    return json.dumps(state)


def _split(series: pd.Series[Any]) -> str:
    return str(series.to_json(orient="split", date_format="iso", date_unit="us"))


def _table(frame: pd.DataFrame) -> str:
    # Fifteen digits are the most that pandas writes; the history is remembered, never computed with at a forecast.
    return str(frame.to_json(orient="table", index=False, double_precision=15, date_unit="us"))


def _changepoints(model: ForecastModel) -> pd.Series[Any]:
    """The changepoints' dates, none where the one at 0 only stands in for them."""
    if model.n_changepoints == 1 and model.changepoints_t[0] == 0 and not model.delta.any():
        return pd.Series(np.empty(0, dtype="M8[ns]"), name="ds")
    # To the microsecond, because scaled time has not all the digits that nanoseconds have.
    dates = model.start // 1000 + np.round(model.changepoints_t * model.t_scale / 1000).astype(np.int64)
    return pd.Series(dates.view("M8[us]"), name="ds")


def _prophet_history(model: ForecastModel, history: pd.DataFrame) -> pd.DataFrame:
    """The history with the columns that Prophet adds to it, and its regressors standardised."""
    frame = history.dropna(subset=["y"]).reset_index(drop=True)
    dates = pd.DatetimeIndex(frame["ds"]).as_unit("ns").asi8
    if not model.has_floor:
        frame["floor"] = model.constant_floor
    if model.growth == "logistic":
        frame["cap_scaled"] = (frame["cap"] - frame["floor"]) / model.y_scale
    frame["t"] = (dates - model.start) / model.t_scale
    frame["y_scaled"] = (frame["y"] - frame["floor"]) / model.y_scale
    for place, term in enumerate(model.features.regressors):
        frame[term.name] = (frame[term.name] - model.regressor_mean[place]) / model.regressor_std[place]
    return frame


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


def _holiday_frame(holidays: HolidayTerms) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "holiday": [date.name for date in holidays.dates],
            "ds": np.array([date.day for date in holidays.dates], dtype="M8[D]").astype("M8[ns]"),
            "lower_window": [date.lower_window for date in holidays.dates],
            "upper_window": [date.upper_window for date in holidays.dates],
        }
    )
    if any(date.prior_scale is not None for date in holidays.dates):
        frame["prior_scale"] = [date.prior_scale for date in holidays.dates]
    return frame


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
