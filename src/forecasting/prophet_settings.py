"""The settings of a Prophet, read from its JSON, so that another may be fitted with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from forecasting.errors import Inexpressible, ModelError
from forecasting.prophet_features import check_known
from forecasting.prophet_json import KNOWN
from forecasting.spec import ProphetSpec, Regressor, Seasonality

_SAME = (
    "growth",
    "n_changepoints",
    "changepoint_range",
    "changepoint_prior_scale",
    "seasonality_mode",
    "seasonality_prior_scale",
    "yearly_seasonality",
    "weekly_seasonality",
    "daily_seasonality",
    "country_holidays",
    "holidays_prior_scale",
    "interval_width",
)
_STANDARD = {"yearly": (365.25, 10), "weekly": (7, 3), "daily": (1, 4)}  # Prophet's own periods and orders


def read_spec(text: str) -> ProphetSpec:
    """What a fitted Prophet was told, from the JSON of prophet.serialize.

    Its number of changepoints is that of its history, where that was too short for more. Raises Inexpressible, naming
    the setting that a ProphetSpec has no place for, and ModelError when the text is no fitted Prophet.
    """
    try:
        state = json.loads(text)
        if isinstance(state, str):  # MLflow keeps the JSON as a JSON text
            state = json.loads(state)
        check_known("the model", state, KNOWN)
        reasons = list(_inexpressible(state))
        if reasons:
            raise Inexpressible("the model has " + " and ".join(reasons))
        settings = {name: state[name] for name in _SAME}
        return ProphetSpec(
            **settings, **_bounds(state), seasonalities=_seasonalities(state), regressors=_regressors(state)
        )
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise Inexpressible(f"the model has settings that cannot be had here: {faults}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"not a Prophet in JSON: {type(error).__name__}: {error}") from error


def _inexpressible(state: Mapping[str, Any]) -> Iterator[str]:
    if state["mcmc_samples"]:
        yield "parameters that were sampled"
    if state["specified_changepoints"]:
        yield "changepoints of its own"
    if max(state["changepoints_t"], default=0.0) > 1.0:
        yield "changepoints after its history, as recipes make them"
    if state.get("scaling", "absmax") != "absmax":
        yield f"scaling {state['scaling']!r}"
    if state["holidays"] is not None:
        yield "a table of holidays"
    if (state.get("holidays_mode") or state["seasonality_mode"]) != state["seasonality_mode"]:
        yield "holidays in another mode than its seasonalities"
    names, terms = state["seasonalities"]
    yield from (
        f"a conditional seasonality {name!r}" for name in names if terms[name].get("condition_name") is not None
    )
    names, terms = state["extra_regressors"]
    yield from (
        f"a regressor_predictor for {name!r}" for name in names if terms[name].get("predictor_spec") is not None
    )


def _seasonalities(state: Mapping[str, Any]) -> tuple[Seasonality, ...]:
    """Those that were added by hand; Prophet keeps the ones of its own choice beside them."""
    names, terms = state["seasonalities"]
    return tuple(
        Seasonality(
            name=name,
            period=terms[name]["period"],
            fourier_order=terms[name]["fourier_order"],
            prior_scale=terms[name]["prior_scale"],
            mode=terms[name]["mode"],
        )
        for name in names
        if not _is_prophets_choice(name, terms[name], state)
    )


def _is_prophets_choice(name: str, term: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    """Whether a seasonality comes from yearly_seasonality and the like; "auto" makes way for one added by hand."""
    if name not in _STANDARD:
        return False
    if state[f"{name}_seasonality"] != "auto":
        return bool(state[f"{name}_seasonality"])
    own = (*_STANDARD[name], state["seasonality_prior_scale"], state["seasonality_mode"])
    return own == tuple(term[key] for key in ("period", "fourier_order", "prior_scale", "mode"))


def _regressors(state: Mapping[str, Any]) -> tuple[Regressor, ...]:
    names, terms = state["extra_regressors"]
    return tuple(
        Regressor(name=name, **{key: terms[name][key] for key in ("prior_scale", "standardize", "mode")})
        for name in names
    )


def _bounds(state: Mapping[str, Any]) -> dict[str, float]:
    """The constant cap and floor of a logistic history. Raises Inexpressible where they change over time."""
    if state["growth"] != "logistic":
        return {}
    rows = json.loads(state["history"])["data"]
    bounds = {name: {row[name] for row in rows} for name in ("cap", "floor")[: 1 + bool(state["logistic_floor"])]}
    changing = [name for name, values in bounds.items() if len(values) != 1]
    if changing:
        raise Inexpressible(f"the model has a {' and a '.join(changing)} that changes over time")
    return {name: values.pop() for name, values in bounds.items()}
