"""What is made of a history before the fit, against Prophet.preprocess: equal to the last bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prophet import Prophet

from forecasting.errors import FitError
from forecasting.posterior import MapProblem
from forecasting.prepare import Calendar, Design, Regressors, ScaledSeries
from forecasting.prophet_model import _build, with_bounds
from forecasting.spec import ProphetSpec, Regressor, Seasonality
from forecasting.spec_features import features_of
from tests.unit.forecasting.specs import cases

DAYS = pd.date_range("2021-01-01", periods=30).as_unit("ns").asi8


def _prepared(spec: ProphetSpec, frame: pd.DataFrame) -> tuple[MapProblem, ScaledSeries, Design]:
    columns = {str(name): frame[name].to_numpy() for name in frame.columns if name != "ds"}
    calendar = Calendar.of(pd.DatetimeIndex(frame["ds"]).asi8, spec)
    series = ScaledSeries.of(columns["y"], spec, columns)
    design = Design(calendar, Regressors.of(columns, calendar.features.regressors, len(frame)))
    return design.problem(series.y, series.cap), series, design


def _preprocessed(spec: ProphetSpec, frame: pd.DataFrame) -> tuple[MapProblem, Prophet]:
    model = _build(spec)
    inputs = model.preprocess(with_bounds(frame, growth=spec.growth, cap=spec.cap, floor=spec.floor))
    return MapProblem.from_stan(vars(inputs)), model


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_every_array_is_prophets_to_the_bit(case: tuple[ProphetSpec, pd.DataFrame, str]) -> None:
    spec, frame, _ = case
    problem, series, design = _prepared(spec, frame)
    expected, model = _preprocessed(spec, frame)
    for name, wanted in vars(expected).items():
        assert np.array_equal(getattr(problem, name), wanted), name
    features = design.calendar.features
    assert (series.y_scale, series.y_min) == (model.y_scale, model.y_min)
    assert (series.last_floor is not None) == model.logistic_floor
    assert design.calendar.t_scale == model.t_scale.value
    assert [term.name for term in features.seasonalities] == list(model.seasonalities)
    regressors = model.extra_regressors.values()
    assert design.regressors.mean.tolist() == [term["mu"] for term in regressors]
    assert design.regressors.std.tolist() == [term["std"] for term in regressors]
    names = None if model.train_holiday_names is None else model.train_holiday_names.tolist()
    assert names == (None if features.holidays is None else list(features.holidays.names))


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(700, 790), extra=st.integers(1, 40))
def test_rows_of_a_longer_calendars_design_are_the_shorter_ones_to_the_bit(rows: int, extra: int) -> None:
    ds = pd.date_range("2020-02-03", periods=rows + extra).as_unit("ns").asi8
    features = features_of(ProphetSpec(country_holidays="US"), ds[:rows])
    assert np.array_equal(features.calendar_design(ds)[:rows], features.calendar_design(ds[:rows]))


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        (ProphetSpec(seasonalities=(Seasonality(name="trend", period=5, fourier_order=2),)), "reserved"),
        (ProphetSpec(seasonalities=(Seasonality(name="a_delim_b", period=5, fourier_order=2),)), "reserved"),
        (ProphetSpec(regressors=(Regressor(name="yhat_upper"),)), "reserved"),
        (ProphetSpec(country_holidays="US", regressors=(Regressor(name="Christmas Day"),)), "holiday"),
        (
            ProphetSpec(
                seasonalities=(Seasonality(name="twice", period=5, fourier_order=2),),
                regressors=(Regressor(name="twice"),),
            ),
            "twice",
        ),
    ],
)
def test_a_name_that_prophet_would_not_take_is_refused_as_prophet_does(spec: ProphetSpec, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        features_of(spec, DAYS)
    with pytest.raises(ValueError, match=r"[nN]ame"):
        _build(spec)


def test_a_regressor_named_t_is_refused_because_prophet_takes_it_for_time() -> None:
    with pytest.raises(ValueError, match="scaled time"):
        features_of(ProphetSpec(regressors=(Regressor(name="t"),)), DAYS)


def test_what_cannot_be_scaled_is_said_in_a_fit_error() -> None:
    y, logistic = np.arange(1.0, 31.0), ProphetSpec(growth="logistic", floor=1.0)
    with pytest.raises(FitError, match="needs a cap"):
        ScaledSeries.of(y, logistic, {})
    with pytest.raises(FitError, match="greater than floor"):
        ScaledSeries.of(y, logistic, {"cap": np.r_[np.full(29, 40.0), 1.0]})
    with pytest.raises(FitError, match="not finite"):
        ScaledSeries.of(np.where(y == 3.0, np.nan, y), ProphetSpec(), {})
    with pytest.raises(FitError, match="at least 2"):
        Calendar.of(DAYS[:1], ProphetSpec())
    terms = features_of(ProphetSpec(regressors=(Regressor(name="price"),)), DAYS).regressors
    for columns, word in (
        ({}, "missing"),
        ({"price": y * np.inf}, "not finite"),
        ({"price": y * 1e-170}, "too little"),
    ):
        with pytest.raises(FitError, match=word):
            Regressors.of(columns, terms, 30)
