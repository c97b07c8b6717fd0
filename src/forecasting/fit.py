"""Fits from arrays to ForecastModels, many series at a time.

Series on the same dates share what follows from the dates: the features and, for a model that is linear in its
parameters, the Gram matrix. Backtest cutoffs, whose dates are the first of the same dates, share the features.
A series that cannot be fitted is a FitError among the results and takes nothing from its neighbours.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.calendar import infer_frequency
from forecasting.errors import FitError, ModelError
from forecasting.features import FeatureTable
from forecasting.history import History
from forecasting.linear import Normal
from forecasting.posterior import MapParameters, NoFiniteOptimum
from forecasting.prepare import Calendar, Design, Regressors, ScaledSeries
from forecasting.solver import SOLVER, solve
from forecasting.spec import ProphetSpec
from forecasting.state import ForecastModel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Outcome = ForecastModel | FitError
Kept = TypeVar("Kept")

_LARGEST = 2**20  # numbers of a design that is kept: with more rows the fits take far longer than its laying out

_log = logging.getLogger(__name__)


def fit_histories(histories: Sequence[History], spec: ProphetSpec) -> list[Outcome]:
    """Fit one model a history, or say why not, in order. Histories with equal dates share the work on them."""
    return by_dates(histories, spec, lambda calendar, y, columns: calendar.fit(y, columns))


def by_dates(
    histories: Sequence[History],
    spec: ProphetSpec,
    fit: Callable[[SharedCalendar, Floats, Mapping[str, Floats]], list[Outcome]],
) -> list[Outcome]:
    """Fit histories, those with equal dates by one call of fit(calendar, y, columns); an outcome each, in order."""
    groups: dict[tuple[bytes, str, tuple[str, ...]], list[int]] = defaultdict(list)
    for place, history in enumerate(histories):
        names = tuple(name for name in history.frame.columns if name not in ("ds", "y"))
        groups[_dates(history).tobytes(), history.freq, names].append(place)
    outcomes: dict[int, Outcome] = {}
    for (_, freq, names), places in groups.items():
        frames = [histories[place].frame for place in places]
        y, *extra = (np.array([frame[name] for frame in frames], dtype=np.float64) for name in ("y", *names))
        shared = [
            values[0] if np.array_equal(values, values[:1].repeat(len(values), 0)) else values for values in extra
        ]
        calendar = SharedCalendar.of(_dates(histories[places[0]]), spec, freq)
        outcomes |= zip(places, fit(calendar, y, dict(zip(names, shared, strict=True))), strict=True)
    return [outcomes[place] for place in range(len(histories))]


def _dates(history: History) -> Integers:
    return pd.DatetimeIndex(history.frame["ds"]).as_unit("ns").asi8


@dataclass(frozen=True, eq=False)
class SharedCalendar:
    """Dates that many series share, ds (T,) in nanoseconds, and how Prophets on them are told to fit."""

    ds: Integers
    spec: ProphetSpec
    freq: str
    _kept: dict[object, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, ds: Integers, spec: ProphetSpec, freq: str | None = None) -> SharedCalendar:
        """Take ascending, distinct dates; freq: theirs as a pandas offset alias, inferred if None.

        Raises ValueError for other dates.
        """
        if np.any(np.diff(ds) <= 0):
            raise ValueError("the dates of a calendar must be ascending and distinct")
        return cls(ds, spec, freq or infer_frequency(pd.DatetimeIndex(ds.view("M8[ns]"))))

    def fit(self, y: Floats, columns: Mapping[str, Floats] | None = None, rows: int | None = None) -> list[Outcome]:
        """Fit N series to the first `rows` dates, all of them by default: a model each, or why there is none.

        y: (N, rows), in its own unit. columns: by name the regressors, cap and floor that the spec or logistic growth
        asks for, (N, rows), or (rows,) where all series share one.
        Raises ValueError for arrays of another shape, and for names in the spec that Prophet would not take.
        """
        outcomes = self.fit_scales(y, (self.spec.changepoint_prior_scale,), columns, rows)
        return [outcome if isinstance(outcome, FitError) else outcome[0] for outcome in outcomes]

    def fit_scales(
        self,
        y: Floats,
        scales: Sequence[float],
        columns: Mapping[str, Floats] | None = None,
        rows: int | None = None,
    ) -> list[tuple[ForecastModel, ...] | FitError]:
        """As `fit`, once for every changepoint_prior_scale in scales, which share all else: their models, in order.

        A scale for which the exact solver finds no optimum is left out; if it finds none at all, cmdstan fits the
        middle one.
        """
        rows, columns = len(self.ds) if rows is None else rows, columns or {}
        _check_shapes(y, columns, rows, len(self.ds))
        try:
            calendar = self._calendar(rows)
        except FitError as error:
            return [error] * len(y)
        names = {term.name for term in calendar.features.regressors}
        alone = any(values.ndim == 2 for name, values in columns.items() if name in names)
        group: list[_Fitter] = []
        outcomes: list[tuple[ForecastModel, ...] | FitError] = []
        for place, values in enumerate(y):
            own = {name: column[place] if column.ndim == 2 else column for name, column in columns.items()}
            try:
                if names and (alone or not group):
                    group = _Fitter.of_scales(calendar, own, self.freq, scales)
                elif not group:
                    group = self._fitters(calendar, tuple(scales))
                outcomes.append(_fit_each(group, values, own))
            except FitError as error:
                outcomes.append(error)
        return outcomes

    def kept(self, key: object, make: Callable[[], Kept]) -> Kept:
        """What follows from the dates and a key alone: made once, for all series, cutoffs and specs."""
        if key not in self._kept:
            self._kept[key] = make()
        found: Kept = self._kept[key]
        return found

    def _calendar(self, rows: int) -> Calendar:
        """The first dates laid out; cutoffs with the same terms take fewer rows of one design. Raises FitError."""

        def design(features: FeatureTable) -> Floats:
            return self.kept(features, lambda: features.calendar_design(self.ds))[:rows]

        return self.kept((self.spec, rows), lambda: Calendar.of(self.ds[:rows], self.spec, design))

    def _fitters(self, calendar: Calendar, scales: tuple[float, ...]) -> list[_Fitter]:
        """Fitters of series without regressors of their own."""
        size = len(calendar.t) * (calendar.features.n_columns + len(calendar.changepoints_t))
        make = partial(_Fitter.of_scales, calendar, {}, self.freq, scales)
        return make() if size > _LARGEST else self.kept((calendar.spec, len(calendar.t), scales), make)


def _check_shapes(y: Floats, columns: Mapping[str, Floats], rows: int, dates: int) -> None:
    if rows > dates:
        raise ValueError(f"the calendar has {dates} dates, not {rows}")
    if y.ndim != 2 or y.shape[1] != rows:
        raise ValueError(f"y has the shape {y.shape} where (series, {rows}) belongs")
    for name, values in columns.items():
        if values.shape not in (y.shape, (rows,)):
            raise ValueError(f"the column {name} has the shape {values.shape} where {y.shape} or ({rows},) belongs")


@dataclass(frozen=True, eq=False)
class _Fitter:
    """Fits series whose features are the same. normal: their linear design, None where the model is not linear."""

    design: Design
    normal: Normal | None
    freq: str

    @classmethod
    def of_scales(
        cls, calendar: Calendar, columns: Mapping[str, Floats], freq: str, scales: Sequence[float]
    ) -> list[_Fitter]:
        """One for each changepoint_prior_scale, on one design; columns: the regressors, (T,) each.

        Raises FitError for regressors that cannot be used.
        """
        rows = len(calendar.ds)
        design = Design(calendar, Regressors.of(columns, calendar.features.regressors, rows))
        blank = design.problem(np.zeros(rows), np.zeros(rows))
        normal = Normal.of(blank) if blank.is_linear else None
        return [cls(design, normal, freq)._at_scale(scale) for scale in scales]

    def _at_scale(self, scale: float) -> _Fitter:
        spec = self.design.calendar.spec.model_copy(update={"changepoint_prior_scale": scale})
        design = replace(self.design, calendar=replace(self.design.calendar, spec=spec))
        return replace(self, design=design, normal=self.normal and replace(self.normal, changepoint_scale=scale))

    def fit(self, series: ScaledSeries, start: MapParameters | None) -> tuple[ForecastModel, MapParameters]:
        """The model at the exact optimum, sought from `start` too, and where that is; raises NoFiniteOptimum."""
        problem = self.design.problem(series.y, series.cap)
        solution = solve(problem, start, self.normal)
        at = solution.parameters
        named = at.without_delta(problem.growth) if problem.has_stand_in else at
        return self._model(series, named, solution.log_posterior), at

    def _model(self, series: ScaledSeries, at: MapParameters, log_posterior: float) -> ForecastModel:
        """What `ForecastModel.from_json` would read of a Prophet with these parameters."""
        calendar = self.design.calendar
        return ForecastModel(
            growth=calendar.spec.growth,
            start=int(calendar.ds[0]),
            t_scale=calendar.t_scale,
            y_min=series.y_min,
            y_scale=series.y_scale,
            changepoints_t=calendar.changepoints_t,
            k=np.array([at.k]),
            m=np.array([at.m]),
            delta=at.delta[None],
            beta=at.beta[None],
            sigma_obs=np.array([at.sigma]),
            features=calendar.features,
            regressor_mean=self.design.regressors.mean,
            regressor_std=self.design.regressors.std,
            has_floor=series.last_floor is not None,
            last_cap=series.last_cap,
            last_floor=series.last_floor,
            n_history=len(calendar.ds),
            interval_width=calendar.spec.interval_width,
            last_date=int(calendar.ds[-1]),
            freq=self.freq,
            solver=SOLVER,
            log_posterior=log_posterior,
        )

    def by_cmdstan(self, y: Floats, columns: Mapping[str, Floats]) -> ForecastModel:
        """The model of the real Prophet, which is only imported, in a second or so, where one is needed."""
        from forecasting import prophet_model

        calendar = self.design.calendar
        frame = pd.DataFrame({"ds": calendar.ds.view("M8[ns]"), "y": y, **columns})
        prophet = prophet_model.fit(History(frame, self.freq), calendar.spec, "cmdstan")
        assert prophet.stan_backend is not None  # it has just been fitted
        prophet.stan_backend.cleanup()  # or its files would stay until the process ends
        try:
            return ForecastModel.from_json(prophet_model.to_json(prophet), freq=self.freq)
        except ModelError as error:
            raise FitError(f"Prophet could not be fitted: {error}") from error


def _fit_each(group: Sequence[_Fitter], y: Floats, columns: Mapping[str, Floats]) -> tuple[ForecastModel, ...]:
    """Fit one series, (T,) in its own unit, with each fitter, the next beginning where the one before it ended."""
    series = ScaledSeries.of(y, group[0].design.calendar.spec, columns)
    models: list[ForecastModel] = []
    start: MapParameters | None = None
    for fitter in group:
        try:
            model, start = fitter.fit(series, start)
            models.append(model)
        except NoFiniteOptimum as error:
            reason = error
    if models:
        return tuple(models)
    _log.info("cmdstan fits instead of the exact solver: %s", reason)
    return (group[len(group) // 2].by_cmdstan(y, columns),)
