"""The terms of a Prophet, read from its JSON: seasonalities, holidays and regressors, checked against its columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any

import numpy as np

from forecasting.country_holidays import holiday_class
from forecasting.errors import Inexpressible, ModelError
from forecasting.features import FeatureTable, HolidayDate, HolidayTerms, RegressorTerm, SeasonalTerm

_KNOWN_OF_SEASONALITIES = {"period", "fourier_order", "prior_scale", "mode", "condition_name"}
_KNOWN_OF_REGRESSORS = {"prior_scale", "standardize", "mu", "std", "mode", "predictor_spec", "predictor"}


def read_features(state: Mapping[str, Any]) -> FeatureTable:
    """The terms of a model in JSON, one and the same table for all models whose terms are equal.

    Raises ModelError where they do not give the columns that its coefficients belong to, Inexpressible for a term
    that arrays cannot express; KeyError and the like for what is no model at all.
    """
    features = FeatureTable(_seasonalities(state), _holidays(state), _regressors(state))
    checked = _checked(features, state["train_component_cols"])
    additive = set(state["component_modes"]["additive"])
    if [name in additive for name in checked.components] != checked.is_additive.tolist():
        raise ModelError("the model's component modes do not fit its features")
    return checked


def check_known(whose: str, found: Mapping[str, Any], known: AbstractSet[str]) -> None:
    """Raise Inexpressible for a key that is not known, because a later Prophet may mean a new feature by it."""
    if not found.keys() <= known:
        raise Inexpressible(f"{whose} says {', '.join(sorted(found.keys() - known))}, which Prophet 1.5.0 does not")


def read_number(found: Mapping[str, Any], name: str) -> float:
    """The number under a name; raises ModelError where it is something else."""
    value = found[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError(f"{name} is {value!r} where a number belongs")
    return float(value)


def _seasonalities(state: Mapping[str, Any]) -> tuple[SeasonalTerm, ...]:
    names, terms = state["seasonalities"]
    for name in names:
        check_known(f"the seasonality {name!r}", terms[name], _KNOWN_OF_SEASONALITIES)
    return tuple(
        SeasonalTerm(
            name=name,
            period=read_number(terms[name], "period"),
            order=int(read_number(terms[name], "fourier_order")),
            mode=terms[name]["mode"],
            condition=terms[name]["condition_name"],
            prior_scale=read_number(terms[name], "prior_scale"),
        )
        for name in names
    )


def _regressors(state: Mapping[str, Any]) -> tuple[RegressorTerm, ...]:
    names, terms = state["extra_regressors"]
    for name in names:
        check_known(f"the regressor {name!r}", terms[name], _KNOWN_OF_REGRESSORS)
        if terms[name].get("predictor_spec") is not None or terms[name].get("predictor") is not None:
            raise Inexpressible(f"the regressor {name!r} has a regressor_predictor")
        if name == "t":
            raise Inexpressible("the regressor 't' has the name of Prophet's scaled time, which it then replaces")
    return tuple(
        RegressorTerm(
            name=name,
            mode=terms[name]["mode"],
            prior_scale=read_number(terms[name], "prior_scale"),
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
        prior_scale=read_number(state, "holidays_prior_scale"),
    )


def _holiday_date(row: Mapping[str, Any]) -> HolidayDate:
    window = (row["lower_window"], row["upper_window"]) if row.keys() & {"lower_window", "upper_window"} else (0, 0)
    lower, upper = (0, 0) if None in window else window  # Prophet takes a half-given window for none
    prior = row.get("prior_scale")
    return HolidayDate(
        name=row["holiday"],
        day=int(np.datetime64(row["ds"][:10], "D").astype(np.int64)),
        lower_window=int(lower),
        upper_window=int(upper),
        prior_scale=None if prior is None else float(prior),
    )


@lru_cache(maxsize=128)  # the segments of one job mostly have the same terms
def _checked(features: FeatureTable, columns: str) -> FeatureTable:
    """Refuse a model whose columns are not those that its features give: its coefficients would be misread."""
    rows = json.loads(columns)["data"]
    if len(rows) != features.n_columns:
        raise ModelError(f"the model has {len(rows)} coefficients where its features give {features.n_columns}")
    names = set(features.components)
    unlike = (rows[0].keys() ^ names) - ({"col", "index"} - names)  # of which pandas adds one or the other
    if unlike:
        raise ModelError(f"the model's components {sorted(unlike)} do not fit its features")
    stored = np.array([[row[name] for name in features.components] for row in rows], dtype=np.float64)
    if not np.array_equal(stored, features.membership):
        raise ModelError("the model's columns are not in the order that its features give")
    return features
