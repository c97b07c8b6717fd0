"""The terms that a spec adds to the trend of a history with given dates, as Prophet would choose and order them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from forecasting.country_holidays import country_holidays
from forecasting.features import NANOSECONDS_A_DAY, FeatureTable, HolidayTerms, RegressorTerm, SeasonalTerm
from forecasting.spec import ProphetSpec

Integers = npt.NDArray[np.int64]

_RESERVED = {
    *("trend", "additive_terms", "daily", "weekly", "yearly", "holidays", "zeros", "yhat"),
    *("extra_regressors_additive", "extra_regressors_multiplicative", "multiplicative_terms"),
}
_TAKEN = {  # columns of Prophet's own frames
    *_RESERVED,
    *(f"{name}_lower" for name in _RESERVED),
    *(f"{name}_upper" for name in _RESERVED),
    *("ds", "y", "cap", "floor", "y_scaled", "cap_scaled"),
}
_KNOWN_YEARS = range(1995, 2045)  # of which Prophet takes a country's holiday names


def features_of(spec: ProphetSpec, ds: Integers) -> FeatureTable:
    """The terms for a history with the dates ds (T,), ascending, at least two, in nanoseconds.

    Raises ValueError for a name that Prophet would refuse, and for a regressor named t, which it confuses with time.
    """
    check_names(spec)
    return FeatureTable(_seasonalities(spec, ds), _holidays(spec, ds), _regressors(spec))


@lru_cache(maxsize=128)
def check_names(spec: ProphetSpec) -> None:
    """Refuse names as Prophet.validate_column_name does, with a ValueError."""
    seasonalities = {term.name for term in spec.seasonalities}
    regressors = {term.name for term in spec.regressors}
    for name in (*(seasonalities - {"daily", "weekly", "yearly"}), *regressors):
        if name in _TAKEN or "_delim_" in name:
            raise ValueError(f"the name {name!r} is reserved")
    if "t" in regressors:
        raise ValueError("a regressor named 't' would take the place of Prophet's scaled time")
    if seasonalities & regressors:
        raise ValueError(f"{', '.join(sorted(seasonalities & regressors))} names a seasonality and a regressor")
    if spec.country_holidays is not None:
        holidays = {name for year in _KNOWN_YEARS for _, name in country_holidays(spec.country_holidays, year)}
        if holidays & (seasonalities | regressors):
            twice = ", ".join(sorted(holidays & (seasonalities | regressors)))
            raise ValueError(f"{twice} is the name of a holiday of {spec.country_holidays} too")


def _seasonalities(spec: ProphetSpec, ds: Integers) -> tuple[SeasonalTerm, ...]:
    """The spec's own, then the yearly, weekly and daily ones; a standard one that is forced on replaces its namesake.

    Source: Prophet.set_auto_seasonalities.
    """
    terms = {
        term.name: SeasonalTerm(
            name=term.name,
            period=term.period,
            order=term.fourier_order,
            mode=term.mode or spec.seasonality_mode,
            prior_scale=term.prior_scale or spec.seasonality_prior_scale,
        )
        for term in spec.seasonalities
    }
    span, gap, day = int(ds[-1] - ds[0]), int(np.diff(ds).min()), NANOSECONDS_A_DAY
    for name, wanted, period, order, fits in (
        ("yearly", spec.yearly_seasonality, 365.25, 10, span >= 730 * day),
        ("weekly", spec.weekly_seasonality, 7.0, 3, span >= 14 * day and gap < 7 * day),
        ("daily", spec.daily_seasonality, 1.0, 4, span >= 2 * day and gap < day),
    ):
        on = fits and name not in terms if wanted == "auto" else wanted
        chosen = order if on is True else int(on)
        if chosen > 0:
            terms[name] = SeasonalTerm(name, period, chosen, spec.seasonality_mode, None, spec.seasonality_prior_scale)
    return tuple(terms.values())


def _holidays(spec: ProphetSpec, ds: Integers) -> HolidayTerms | None:
    """The country's holidays of the years in ds, as far as it had any."""
    if spec.country_holidays is None:
        return None
    years = np.unique(ds.view("M8[ns]").astype("M8[Y]").astype(np.int64) + 1970).tolist()
    # Prophet meets the years in the order that a set of them has, and keeps the names in the order met.
    names = dict.fromkeys(name for year in set(years) for _, name in country_holidays(spec.country_holidays, year))
    if not names:
        return None
    return HolidayTerms(
        tuple(names),
        country=spec.country_holidays,
        mode=spec.seasonality_mode,
        prior_scale=spec.holidays_prior_scale,
    )


def _regressors(spec: ProphetSpec) -> tuple[RegressorTerm, ...]:
    """The last of those that share a name, at the place of the first, as in Prophet's dictionary."""
    terms = {
        term.name: RegressorTerm(
            name=term.name,
            mode=term.mode or spec.seasonality_mode,
            prior_scale=term.prior_scale or spec.holidays_prior_scale,
            standardize=term.standardize,
        )
        for term in spec.regressors
    }
    return tuple(terms.values())
