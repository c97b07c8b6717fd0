"""Prophet's own JSON, read into a ForecastModel and written from one, without building a Prophet.

The format is that of prophet.serialize in 1.5.0 and its forerunners since 0.6: a JSON object whose tables are texts of
JSON themselves, as pandas writes them. What a ForecastModel cannot express is refused, and named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.calendar import infer_frequency
from forecasting.country_holidays import holiday_class
from forecasting.errors import ModelError
from forecasting.features import FeatureTable, HolidayDate, HolidayTerms, RegressorTerm, SeasonalTerm
from forecasting.state import Calibration, ForecastModel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

OWN_KEY = "__prophet_serving"  # what Prophet has no place for; its reader passes over keys that it does not know


def read_model(text: str, *, freq: str | None = None) -> ForecastModel:
    """Read a fitted Prophet. freq: that of its history where it is known; inferred from the dates otherwise.

    Raises ModelError when the text is no fitted Prophet, or one with a feature that arrays cannot express; it names
    the feature.
    """
    try:
        state = json.loads(text)
        if isinstance(state, str):  # MLflow and Prophet's own test data keep the JSON as a JSON text
            state = json.loads(state)
        return _model(state, freq)
    except ModelError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise ModelError(f"not a Prophet in JSON: {type(error).__name__}: {error}") from error


def _model(state: Mapping[str, Any], freq: str | None) -> ForecastModel:
    if not state.get("params") or state.get("history") is None:
        raise ModelError("a Prophet in JSON, but one that was never fitted")
    features = _features(state)
    _check_components(state, features)
    parameters = {name: _draws(state["params"], name) for name in ("k", "m", "delta", "beta", "sigma_obs")}
    dates = _dates(json.loads(state["history_dates"])["data"])
    regressors = [state["extra_regressors"][1][term.name] for term in features.regressors]
    own = state.get(OWN_KEY) or {}
    last_cap, last_floor = _last_bounds(state)
    likelihood = state["params"].get("lp__")
    return ForecastModel(
        growth=state["growth"],
        start=round(state["start"] * 1e6) * 1000,  # pandas keeps microseconds of it
        t_scale=float(pd.Timedelta(seconds=state["t_scale"]).value),
        y_min=float(state.get("y_min") or 0.0),
        y_scale=float(state["y_scale"]),
        changepoints_t=np.array(state["changepoints_t"], dtype=np.float64),
        k=parameters["k"][:, 0],
        m=parameters["m"][:, 0],
        delta=parameters["delta"],
        beta=parameters["beta"],
        sigma_obs=parameters["sigma_obs"][:, 0],
        features=features,
        regressor_mean=np.array([regressor["mu"] for regressor in regressors], dtype=np.float64),
        regressor_std=np.array([regressor["std"] for regressor in regressors], dtype=np.float64),
        scaling=state.get("scaling", "absmax"),  # new in 1.1.5
        has_floor=_has_floor(state),
        last_cap=last_cap,
        last_floor=last_floor,
        n_history=state["history"].count('"ds":'),  # parsing all of it would cost more than the rest of this function
        interval_width=float(state["interval_width"]),
        last_date=int(dates[-1]) if len(dates) else None,
        freq=freq or own.get("freq") or _frequency(dates),
        calibration=_calibration(own),
        solver=own.get("solver", "cmdstan"),
        log_posterior=float(np.ravel(likelihood)[0]) if likelihood and len(parameters["k"]) == 1 else None,
    )


def _has_floor(state: Mapping[str, Any]) -> bool:
    has_floor = bool(state["logistic_floor"])
    if has_floor and state["growth"] != "logistic":
        raise ModelError("logistic_floor is set on a growth that is not logistic")
    return has_floor


def _last_bounds(state: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The cap and floor of the history's last row; only logistic growth has them."""
    if state["growth"] != "logistic":
        return None, None
    last = max(json.loads(state["history"])["data"], key=lambda row: float(row["t"]))
    return float(last["cap"]), float(last["floor"]) if state["logistic_floor"] else None


def _draws(parameters: Mapping[str, Any], name: str) -> Floats:
    """A parameter as (D, its length); Prophet writes (D, n), and (D,) for the scalars of some samplers."""
    values = np.array(parameters[name], dtype=np.float64)
    return values.reshape(len(np.ravel(parameters["k"])), -1)


def _dates(texts: list[str]) -> Integers:
    """Dates in nanoseconds, ascending. Older versions wrote a Z behind what never had a time zone."""
    bare = [text.removesuffix("Z") for text in texts if text is not None]
    return np.sort(np.array(bare, dtype="M8[ns]").astype(np.int64))


def _frequency(dates: Integers) -> str | None:
    unique = np.unique(dates)
    return infer_frequency(pd.DatetimeIndex(unique.view("M8[ns]"))) if len(unique) > 1 else None


def _calibration(own: Mapping[str, Any]) -> Calibration | None:
    found = own.get("calibration")
    if found is None:
        return None
    return Calibration(np.array(found["horizons"], dtype=np.float64), np.array(found["factors"], dtype=np.float64))


def _features(state: Mapping[str, Any]) -> FeatureTable:
    names, terms = state["seasonalities"]
    seasonalities = tuple(
        SeasonalTerm(
            name=name,
            period=float(terms[name]["period"]),
            order=int(terms[name]["fourier_order"]),
            mode=terms[name]["mode"],
            condition=terms[name].get("condition_name"),
            prior_scale=float(terms[name]["prior_scale"]),
        )
        for name in names
    )
    return FeatureTable(seasonalities, _holidays(state), _regressors(state))


def _regressors(state: Mapping[str, Any]) -> tuple[RegressorTerm, ...]:
    names, terms = state["extra_regressors"]
    for name in names:
        if terms[name].get("predictor_spec") is not None or terms[name].get("predictor") is not None:
            raise ModelError(f"the regressor {name!r} has a regressor_predictor, which arrays cannot express")
    return tuple(
        RegressorTerm(
            name=name,
            mode=terms[name]["mode"],
            prior_scale=float(terms[name]["prior_scale"]),
            standardize=terms[name]["standardize"],
        )
        for name in names
    )


def _holidays(state: Mapping[str, Any]) -> HolidayTerms | None:
    if state["train_holiday_names"] is None:
        return None
    country = state["country_holidays"]
    if country is not None:
        holiday_class(country)  # a country that this machine does not know is refused now, not at a forecast
    listed = json.loads(state["holidays"])["data"] if state["holidays"] is not None else []
    return HolidayTerms(
        names=tuple(dict.fromkeys(json.loads(state["train_holiday_names"])["data"])),
        dates=tuple(_holiday_date(row) for row in listed),
        country=country,
        mode=state.get("holidays_mode") or state["seasonality_mode"],  # new in 1.1.5
        prior_scale=float(state["holidays_prior_scale"]),
    )


def _holiday_date(row: Mapping[str, Any]) -> HolidayDate:
    window: tuple[Any, Any] = row.get("lower_window"), row.get("upper_window")
    lower, upper = (0, 0) if None in window else window  # Prophet takes a half-given window for none
    prior = row.get("prior_scale")
    return HolidayDate(
        name=row["holiday"],
        day=int(np.datetime64(row["ds"][:10], "D").astype(np.int64)),
        lower_window=int(lower),
        upper_window=int(upper),
        prior_scale=None if prior is None else float(prior),
    )


def _check_components(state: Mapping[str, Any], features: FeatureTable) -> None:
    """Refuse a model whose columns are not those that its features give: its coefficients would be misread."""
    rows = json.loads(state["train_component_cols"])["data"]
    if len(rows) != features.n_columns:
        raise ModelError(f"the model has {len(rows)} coefficients where its features give {features.n_columns}")
    found = set(rows[0]) - {"col", "index"}
    if found != set(features.components):
        raise ModelError(f"the model's components {sorted(found ^ set(features.components))} do not fit its features")
    stored = np.array([[row[name] for name in features.components] for row in rows], dtype=bool)
    if not np.array_equal(stored, features.membership):
        raise ModelError("the model's columns are not in the order that its features give")
    additive = set(state["component_modes"]["additive"])
    if [name in additive for name in features.components] != features.is_additive.tolist():
        raise ModelError("the model's component modes do not fit its features")
