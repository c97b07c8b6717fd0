"""Prophet's own JSON, read into a ForecastModel without building a Prophet.

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

from forecasting.calendar import infer_frequency, offset_of
from forecasting.errors import Inexpressible, ModelError
from forecasting.prophet_features import check_known, read_features, read_number
from forecasting.state import Calibration, ForecastModel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

OWN_KEY = "__prophet_serving"  # what Prophet has no place for; its reader passes over keys that it does not know
KNOWN = {
    OWN_KEY,
    "__fbprophet_version",
    "__prophet_version",
    "changepoint_prior_scale",
    "changepoint_range",
    "changepoints",
    "changepoints_t",
    "component_modes",
    "country_holidays",
    "daily_seasonality",
    "extra_regressors",
    "fit_kwargs",
    "growth",
    "history",
    "history_dates",
    "holidays",
    "holidays_mode",
    "holidays_prior_scale",
    "interval_width",
    "logistic_floor",
    "mcmc_samples",
    "n_changepoints",
    "params",
    "scaling",
    "seasonalities",
    "seasonality_mode",
    "seasonality_prior_scale",
    "specified_changepoints",
    "start",
    "t_scale",
    "train_component_cols",
    "train_holiday_names",
    "uncertainty_samples",
    "weekly_seasonality",
    "y_min",
    "y_scale",
    "yearly_seasonality",
}
_MICROSECONDS = 10**6  # of a second
_FARTHEST = np.iinfo(np.int64).max // 1000  # microseconds on either side of 1970 that nanoseconds can tell


def read_model(text: str, *, freq: str | None = None) -> ForecastModel:
    """Read a fitted Prophet. freq: that of its history where it is known; inferred from the dates otherwise.

    Raises ModelError when the text is no fitted Prophet, and Inexpressible, naming the feature, when it is one that
    arrays cannot express; also where it says something that Prophet 1.5.0 does not know, because that could be one.
    """
    try:
        state = json.loads(text)
        if isinstance(state, str):  # MLflow and Prophet's own test data keep the JSON as a JSON text
            state = json.loads(state)
        return _model(state, freq)
    except ModelError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ModelError(f"not a Prophet in JSON: {type(error).__name__}: {error}") from error


def _model(state: Mapping[str, Any], freq: str | None) -> ForecastModel:
    if not state.get("params") or state.get("history") is None:
        raise ModelError("a Prophet in JSON, but one that was never fitted")
    check_known("the model", state, KNOWN)
    features = read_features(state)
    parameters = {name: _draws(state["params"][name]) for name in ("k", "m", "delta", "beta", "sigma_obs")}
    dates = _dates(state["history_dates"])
    regressors = [state["extra_regressors"][1][term.name] for term in features.regressors]
    own = state.get(OWN_KEY) or {}
    last_cap, last_floor = _last_bounds(state)
    return ForecastModel(
        growth=state["growth"],
        start=_nanoseconds(round(read_number(state, "start") * _MICROSECONDS)),  # pandas keeps microseconds of it
        t_scale=float(pd.Timedelta(seconds=read_number(state, "t_scale")).value),
        y_min=read_number(state, "y_min") if "scaling" in state else 0.0,  # both are new in 1.1.5
        y_scale=read_number(state, "y_scale"),
        changepoints_t=np.array(state["changepoints_t"], dtype=np.float64),
        k=parameters["k"][:, 0],
        m=parameters["m"][:, 0],
        delta=parameters["delta"],
        beta=parameters["beta"],
        sigma_obs=parameters["sigma_obs"][:, 0],
        features=features,
        regressor_mean=np.array([read_number(regressor, "mu") for regressor in regressors], dtype=np.float64),
        regressor_std=np.array([read_number(regressor, "std") for regressor in regressors], dtype=np.float64),
        scaling=state.get("scaling", "absmax"),
        has_floor=_has_floor(state),
        last_cap=last_cap,
        last_floor=last_floor,
        n_history=_rows_of_history(state),
        interval_width=_interval_width(state),
        last_date=int(dates[-1]) if len(dates) else None,
        freq=freq or _own_frequency(own) or _frequency(dates),
        calibration=_calibration(own),
        solver=own.get("solver", "cmdstan"),
        log_posterior=_log_posterior(state["params"]),
    )


def _nanoseconds(microseconds: int) -> int:
    if abs(microseconds) > _FARTHEST:
        raise ModelError("the history has dates outside 1678 to 2261, which Prophet itself cannot read back")
    return microseconds * 1000


def _interval_width(state: Mapping[str, Any]) -> float:
    width = read_number(state, "interval_width")
    if width in (0.0, 1.0):
        raise Inexpressible(f"the interval_width {width:.0f} asks for the least and largest of Prophet's samples")
    return width


def _rows_of_history(state: Mapping[str, Any]) -> int:
    """Its rows counted, because reading all of it would cost more than the rest of this file."""
    rows = int(state["history"].count('"ds":'))
    if rows < 2:
        raise ModelError("the model has no history, and a Prophet is fitted to two rows or more")
    return rows


def _has_floor(state: Mapping[str, Any]) -> bool:
    has_floor = bool(state["logistic_floor"])
    if has_floor and state["growth"] != "logistic":
        raise ModelError("logistic_floor is set on a growth that is not logistic")
    return has_floor


def _last_bounds(state: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The cap and floor of the history's last row; only logistic growth has them."""
    if state["growth"] != "logistic":
        return None, None
    last = _last_row(state["history"])
    return read_number(last, "cap"), read_number(last, "floor") if state["logistic_floor"] else None


def _last_row(history: str) -> Any:
    """The last of the rows, which are in the order of their dates; reading it alone is ten times as fast."""
    try:
        return json.loads(history[history.rindex('{"') : history.rindex("]")])
    except ValueError:  # a brace inside a text column that the history happens to carry
        return json.loads(history)["data"][-1]


def _draws(found: Any) -> Floats:
    """A parameter as (D, its length); Prophet writes (D, n), and (D,) for what its sampler finds of length 1."""
    values = np.array(found, dtype=np.float64)
    return values[:, None] if values.ndim == 1 else values.reshape(len(values), -1)


def _log_posterior(parameters: Mapping[str, Any]) -> float | None:
    """Stan's lp__ at a point estimate; a sampler gives one a draw, of which none is the model's."""
    found = np.ravel(np.array(parameters.get("lp__") or [], dtype=np.float64))
    return float(found[0]) if len(found) == 1 and np.isfinite(found[0]) else None


def _dates(series: str) -> Integers:
    """Distinct dates in nanoseconds, ascending. Older versions wrote a Z behind what never had a time zone."""
    texts = [text for text in json.loads(series)["data"] if text is not None]
    if texts and texts[0].endswith("Z"):
        texts = [text.removesuffix("Z") for text in texts]
    dates = np.array(texts, dtype="M8[us]").astype(np.int64)
    if np.any(dates[1:] <= dates[:-1]):
        dates = np.unique(dates)
    if len(dates):
        _nanoseconds(int(max(dates[-1], -dates[0])))
    return dates * 1000


def _own_frequency(own: Mapping[str, Any]) -> str | None:
    found = own.get("freq")
    if found is not None:
        offset_of(found)  # raises where it is no frequency
    return found


def _frequency(dates: Integers) -> str | None:
    return infer_frequency(pd.DatetimeIndex(dates.view("M8[ns]"))) if len(dates) > 1 else None


def _calibration(own: Mapping[str, Any]) -> Calibration | None:
    found = own.get("calibration")
    if found is None:
        return None
    return Calibration(np.array(found["horizons"], dtype=np.float64), np.array(found["factors"], dtype=np.float64))
