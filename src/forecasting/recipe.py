"""How a segment's Prophet comes about: as its spec says, or as a damped average of several.

A recipe is laid over a ProphetSpec, whose growth, holidays, regressors and priors of seasonalities it leaves alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from forecasting.calendar import mean_step
from forecasting.spec import Mode, Prior, ProphetSpec
from forecasting.spec_features import features_of

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Share = Annotated[float, Field(ge=0, le=1)]
Cadence = Literal["subdaily", "daily", "weekly", "monthly", "quarterly", "yearly"]

_SHORTER_THAN: Mapping[Cadence, float] = {  # the steps of each cadence, in days
    "subdaily": 1.0,
    "daily": 7.0,
    "weekly": 28.0,
    "monthly": 85.0,
    "quarterly": 300.0,
    "yearly": math.inf,
}
_STANDARD = ("yearly", "weekly", "daily")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pace(_Frozen):
    """What a recipe does to histories of one cadence; by default nothing.

    changepoint_prior_scales: one fit each, averaged where growth is linear; other growths take the middle one; None
    for one fit at the spec's. changepoint_range: in place of the spec's. seasonality_mode: likewise; "by-sign" is
    multiplicative for a history whose every y is above 0, as far as the fit sees it, and additive for others.
    phi: the factor from each slope after the history to that of the next step; 1 leaves the trend as it is.
    rho: the share of the newest residuals' level that the trend takes over after the history.
    width: the factor on the half-width of intervals that lets interval_width of all segments' backtests in.
    log_error: the mean over all segments of the logarithm of its MASE over the damped average's; what a choice among
    recipes mostly goes by.
    """

    changepoint_prior_scales: Annotated[tuple[Prior, ...], Field(min_length=1)] | None = None
    changepoint_range: Annotated[float, Field(gt=0, le=1)] | None = None
    seasonality_mode: Mode | Literal["by-sign"] | None = None
    phi: Annotated[float, Field(gt=0, le=1)] = 1.0
    rho: Share = 0.0
    width: Annotated[float, Field(gt=0)] = 1.0
    log_error: Annotated[float, Field(allow_inf_nan=False)] = 0.0

    def scales(self, spec: ProphetSpec) -> tuple[float, ...]:
        """The changepoint_prior_scale of each fit; more than one only for linear growth, whose parameters average."""
        scales = self.changepoint_prior_scales or (spec.changepoint_prior_scale,)
        return scales if spec.growth == "linear" else (scales[len(scales) // 2],)

    def mode(self, spec: ProphetSpec, y: Floats) -> Mode:
        """The seasonality_mode for one history y (T,), in its own unit."""
        if self.seasonality_mode == "by-sign":
            return "multiplicative" if bool(np.all(y > 0)) else "additive"
        return self.seasonality_mode or spec.seasonality_mode


class Recipe(_Frozen):
    """How to make one Prophet, by the cadence of its history; by default the damped average.

    daily_order: the Fourier order of a daily season that the spec leaves to "auto"; None for Prophet's own, 4.
    alias_free: whether the order of every season is held to half of its rows: beyond it two orders are one and the
    same on the rows, and differ between them. rows_per_changepoint: at least so many, by fewer changepoints; else a
    short history can be followed perfectly, and has no optimum. own_weight: how much of the logarithm of a segment's
    own width correction is believed, the rest being that of all segments.
    The defaults were chosen on one half of the series of benchmarks (accuracy_tuning); accuracy reports the other.
    """

    name: Annotated[str, Field(min_length=1)]
    daily_order: Annotated[int, Field(ge=1)] | None = 12
    alias_free: bool = True
    rows_per_changepoint: Annotated[float, Field(ge=1)] | None = 2.0
    own_weight: Share = 0.5
    subdaily: Pace = Pace(changepoint_prior_scales=(0.02, 0.05, 0.2), changepoint_range=0.95, phi=0.8, width=1.25)
    daily: Pace = Pace(changepoint_prior_scales=(0.02, 0.05, 0.2), changepoint_range=0.9, phi=0.9, width=1.8)
    weekly: Pace = Pace(changepoint_prior_scales=(0.02, 0.05, 0.2), changepoint_range=0.95, phi=0.9, width=1.75)
    monthly: Pace = Pace(
        changepoint_prior_scales=(0.05, 0.2, 0.5),
        changepoint_range=0.95,
        seasonality_mode="by-sign",
        phi=0.9,
        rho=0.5,
        width=1.6,
    )
    quarterly: Pace = Pace(
        changepoint_prior_scales=(0.05, 0.2, 0.5),
        changepoint_range=0.95,
        seasonality_mode="by-sign",
        phi=0.85,
        rho=0.7,
        width=1.95,
    )
    yearly: Pace = Pace(
        changepoint_prior_scales=(0.05, 0.2, 0.5),
        changepoint_range=0.95,
        seasonality_mode="by-sign",
        phi=0.9,
        rho=0.5,
        width=3.0,
    )

    def pace(self, freq: str) -> Pace:
        """What it does to histories of a frequency, a pandas offset alias."""
        found: Pace = getattr(self, cadence_of(freq))
        return found

    def spec(self, spec: ProphetSpec, mode: Mode, ds: Integers, freq: str) -> ProphetSpec:
        """What each fit to the dates ds (T,), in nanoseconds, is told, but for its scale."""
        changes: dict[str, Any] = {"seasonality_mode": mode}
        if (changepoint_range := self.pace(freq).changepoint_range) is not None:
            changes["changepoint_range"] = changepoint_range
        if self.rows_per_changepoint is not None:
            changes["n_changepoints"] = min(spec.n_changepoints, math.ceil(len(ds) / self.rows_per_changepoint))
        if self.alias_free or self.daily_order is not None:
            changes |= self._seasonalities(spec, ds, freq)
        return spec.model_copy(update=changes)

    def _seasonalities(self, spec: ProphetSpec, ds: Integers, freq: str) -> dict[str, Any]:
        """The seasonalities that Prophet would choose for these dates, as settings, with the orders of this recipe."""
        if len(ds) < 2:  # which no fit can use anyway
            return {}
        rows_a_day = 1.0 / mean_step(freq)
        own = {term.name: term for term in spec.seasonalities}
        standard: dict[str, bool | int] = {f"{name}_seasonality": False for name in _STANDARD}
        kept = []
        for term in features_of(spec, ds).seasonalities:
            setting = getattr(spec, f"{term.name}_seasonality") if term.name in _STANDARD else False
            # Months and quarters are not equally long, which must not cost them their last pair.
            most = math.floor(term.period * rows_a_day / 2 + 0.05) if self.alias_free else term.order
            chosen = self.daily_order if term.name == "daily" and setting == "auto" and term.name not in own else None
            order = min(chosen or term.order, most)
            if term.name in own and setting in ("auto", False):
                kept += [own[term.name].model_copy(update={"fourier_order": order})] * (order > 0)
            else:
                standard[f"{term.name}_seasonality"] = order or False
        return {"seasonalities": tuple(kept), **standard}


STOCK = Recipe(
    name="stock",
    daily_order=None,
    alias_free=False,
    rows_per_changepoint=None,
    own_weight=0.0,
    subdaily=Pace(log_error=0.21),
    daily=Pace(log_error=0.17),
    weekly=Pace(log_error=0.13),
    monthly=Pace(log_error=0.41),
    quarterly=Pace(log_error=0.35),
    yearly=Pace(log_error=0.23),
)
DAMPED_AVERAGE = Recipe(name="damped-average")
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (DAMPED_AVERAGE, STOCK)}


def named(given: object) -> object:
    """The recipe of a name; anything else as it is. Raises ValueError naming the recipes that there are."""
    if not isinstance(given, str):
        return given
    if given not in RECIPES:
        raise ValueError(f"no recipe is called {given!r}; there are {', '.join(RECIPES)}, or a mapping of your own")
    return RECIPES[given]


RecipeChoice = Annotated[Recipe, BeforeValidator(named)]  # a configuration's field: a name, or a recipe's own keys


@lru_cache(maxsize=256)
def cadence_of(freq: str) -> Cadence:
    """How long the steps of a frequency are, in words: of business days daily, of two weeks weekly."""
    step = mean_step(freq)
    return next(cadence for cadence, end in _SHORTER_THAN.items() if step < end)
