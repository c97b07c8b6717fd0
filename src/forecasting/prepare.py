"""What Prophet makes of a history before it fits, as arrays: scales, regressors, changepoints, priors.

The same expressions in the same order as Prophet.preprocess of prophet 1.5.0, so that the arrays agree to the bit.
T rows, K feature columns, R regressors, S changepoints. What follows from the dates alone (`Calendar`) is kept apart
from what may belong to one series (`ScaledSeries`, `Regressors`), because many series share their dates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.errors import FitError
from forecasting.features import MODES, FeatureTable, RegressorTerm
from forecasting.posterior import MapProblem
from forecasting.spec import ProphetSpec
from forecasting.spec_features import features_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Columns = Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class Calendar:
    """What a spec makes of dates.

    ds: (T,) nanoseconds, ascending and distinct. t: (T,), 0 at the first date and 1 at the last. changepoints_t: (S,).
    design: (T, features.n_calendar), the feature columns that follow from the dates.
    """

    spec: ProphetSpec
    ds: Integers
    t: Floats
    changepoints_t: Floats
    features: FeatureTable
    design: Floats

    @classmethod
    def of(cls, ds: Integers, spec: ProphetSpec, design_of: Callable[[FeatureTable], Floats] | None = None) -> Calendar:
        """Lay out the dates; design_of(features): the design of ds, where someone keeps it.

        Raises FitError for fewer than two dates, ValueError for a name that Prophet would not take.
        """
        if len(ds) < 2:
            raise FitError(f"a fit needs at least 2 dates with a y, not {len(ds)}")
        features = features_of(spec, ds)
        t = (ds - ds[0]) / (ds[-1] - ds[0])
        design = features.calendar_design(ds) if design_of is None else design_of(features)
        return cls(spec, ds, t, _changepoints(t, spec), features, design)

    @property
    def t_scale(self) -> float:
        """From the first date to the last, in nanoseconds."""
        return float(self.ds[-1] - self.ds[0])

    @cached_property
    def feature_scales(self) -> Floats:
        """(K,): the standard deviations of the coefficients' priors."""
        features = self.features
        scales = [term.prior_scale for term in features.seasonalities for _ in range(2 * term.order)]
        if features.holidays is not None:
            scales += [features.holidays.prior_scale] * len(features.holidays.keys)
        scales += [term.prior_scale for term in features.regressors]
        return np.array(scales or [1.0])

    @cached_property
    def indicators(self) -> tuple[Floats, Floats]:
        """(K,) each: 1 for the columns that are added to the trend, and for those that multiply it."""
        modes = [mode for _, mode in self.features.column_terms]
        if not modes:
            return np.zeros(1), np.zeros(1)
        additive, multiplicative = (np.array([mode == wanted for mode in modes], dtype=np.float64) for wanted in MODES)
        return additive, multiplicative


@dataclass(frozen=True, eq=False)
class ScaledSeries:
    """The y of one series as (y - floor) / y_scale, (T,), and its cap likewise; y_min, y_scale: in the unit of y.

    last_cap, last_floor: those of the last row in the unit of y; None where the rows have none.
    """

    y: Floats
    cap: Floats
    y_min: float
    y_scale: float
    last_cap: float | None = None
    last_floor: float | None = None

    @classmethod
    def of(cls, y: Floats, spec: ProphetSpec, columns: Columns) -> ScaledSeries:
        """Scale by the largest absolute value (Prophet.initialize_scales, absmax).

        columns: cap and floor, (T,) each, in whose absence the spec's constants hold; others are not looked at.
        Raises FitError for a y that is not finite, and a cap that is missing or not above the floor.
        """
        if not np.isfinite(y).all():
            raise FitError("y holds a value that is missing or not finite")
        if spec.growth != "logistic":
            y_scale = float(np.abs(y).max()) or 1.0
            return cls(y / y_scale, np.zeros(len(y)), 0.0, y_scale)
        cap, floor = _bound("cap", spec.cap, y, columns), _bound("floor", spec.floor, y, columns)
        if cap is None:
            raise FitError("logistic growth needs a cap in every row")
        base = np.zeros(len(y)) if floor is None else floor
        if not np.all(cap > base):
            raise FitError("cap must be greater than floor (which defaults to 0) in every row")
        heights = np.abs(y - base)
        y_scale = float(heights.max()) or 1.0
        return cls(
            y=(y - base) / y_scale,
            cap=(cap - base) / y_scale,
            y_min=0.0 if floor is None else float(heights.min()),
            y_scale=y_scale,
            last_cap=float(cap[-1]),
            last_floor=None if floor is None else float(floor[-1]),
        )


@dataclass(frozen=True, eq=False)
class Regressors:
    """Regressors as they enter the features: values (T, R), from which mean (R,) was taken and divided by std (R,)."""

    values: Floats
    mean: Floats
    std: Floats

    @classmethod
    def of(cls, columns: Columns, terms: tuple[RegressorTerm, ...], rows: int) -> Regressors:
        """Standardise each as its term says; raises FitError for one that is missing or not finite."""
        values, mean, std = np.empty((rows, len(terms))), np.zeros(len(terms)), np.ones(len(terms))
        for place, term in enumerate(terms):
            if term.name not in columns:
                raise FitError(f"the regressor {term.name} is missing from the history")
            raw = columns[term.name]
            if not np.isfinite(raw).all():
                raise FitError(f"the regressor {term.name} holds a value that is missing or not finite")
            if _is_standardised(raw, term):
                column = pd.Series(raw)  # whose sums are added up in an order of their own
                mean[place], std[place] = column.mean(), column.std()
            if not std[place] > 0.0:
                raise FitError(f"the regressor {term.name} varies too little to be standardised")
            values[:, place] = (raw - mean[place]) / std[place]
        return cls(values, mean, std)


@dataclass(frozen=True, eq=False)
class Design:
    """A calendar with its regressors: all of a posterior but y and cap."""

    calendar: Calendar
    regressors: Regressors

    @cached_property
    def features(self) -> Floats:
        """(T, K): a column of zeros where there are none, as Prophet has it."""
        calendar = self.calendar
        if not calendar.features.column_terms:
            return np.zeros((len(calendar.t), 1))
        if not calendar.features.regressors:
            return calendar.design
        return np.concatenate([calendar.design, self.regressors.values], axis=1)

    def problem(self, y: Floats, cap: Floats) -> MapProblem:
        """The posterior of one series, y and cap (T,) as in `ScaledSeries`."""
        calendar = self.calendar
        additive, multiplicative = calendar.indicators
        return MapProblem(
            growth=calendar.spec.growth,
            y=y,
            t=calendar.t,
            cap=cap,
            changepoints_t=calendar.changepoints_t,
            features=self.features,
            feature_scales=calendar.feature_scales,
            additive=additive,
            multiplicative=multiplicative,
            changepoint_scale=calendar.spec.changepoint_prior_scale,
        )


def _is_standardised(raw: Floats, term: RegressorTerm) -> bool:
    """A constant never is; by default all others are but those of zeros and ones (Prophet.initialize_scales)."""
    distinct = np.unique(raw)
    if len(distinct) < 2:
        return False
    if term.standardize == "auto":
        return not np.array_equal(distinct, (0.0, 1.0))
    return term.standardize


def _bound(name: str, constant: float | None, y: Floats, columns: Columns) -> Floats | None:
    """A cap or floor of every row, (T,): the column, else the constant, else None."""
    if name in columns:
        return columns[name]
    return None if constant is None else np.full(len(y), constant)


def _changepoints(t: Floats, spec: ProphetSpec) -> Floats:
    """(S,): on rows spread evenly over the first changepoint_range of the history; a single 0 stands for none.

    Source: Prophet.set_changepoints.
    """
    size = int(np.floor(len(t) * spec.changepoint_range))
    count = min(spec.n_changepoints, size - 1)
    if count < 1:
        return np.zeros(1)
    places = np.linspace(0, size - 1, count + 1).round().astype(np.intp)
    return np.asarray(t[places[1:]])
