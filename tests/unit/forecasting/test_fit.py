"""Fits from arrays against fits through Prophet, alone against in a group, and where there is little to fit."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from forecasting import prophet_model
from forecasting.errors import FitError
from forecasting.fit import Outcome, SharedCalendar, fit_histories
from forecasting.history import History
from forecasting.predict import Columns, Integers, predict
from forecasting.spec import ProphetSpec, Regressor
from forecasting.state import ForecastModel
from tests.unit.forecasting.series import daily
from tests.unit.forecasting.specs import cases

SAME = (
    *("growth", "start", "t_scale", "y_min", "y_scale", "scaling", "has_floor", "n_history", "interval_width"),
    *("last_date", "freq", "features"),
)
DAYS = pd.date_range("2022-01-01", periods=200).as_unit("ns").asi8
SPECS = [ProphetSpec(), ProphetSpec(seasonality_mode="multiplicative"), ProphetSpec(growth="logistic", cap=500.0)]


def _model(outcome: Outcome) -> ForecastModel:
    assert isinstance(outcome, ForecastModel), outcome
    return outcome


def _assert_same_fit(got: ForecastModel, expected: ForecastModel, tolerance: float = 0.0) -> None:
    for name in ("k", "m", "delta", "beta", "sigma_obs", "log_posterior", "changepoints_t"):
        np.testing.assert_allclose(getattr(got, name), getattr(expected, name), tolerance, tolerance, err_msg=name)


def _rows(spec: ProphetSpec, frame: pd.DataFrame) -> tuple[Integers, Columns]:
    """The history's rows and later ones with the same columns, as `predict` takes them."""
    bounded = prophet_model.with_bounds(frame, growth=spec.growth, cap=spec.cap, floor=spec.floor)
    ds = pd.DatetimeIndex(frame["ds"]).asi8
    both = np.concatenate([ds, ds + (ds[-1] - ds[0]) // 2])
    return both, {str(name): np.tile(bounded[name].to_numpy(), 2) for name in bounded.columns if name != "ds"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(smallest=100))
def test_a_model_from_arrays_is_the_one_that_prophet_with_the_exact_solver_writes(
    case: tuple[ProphetSpec, pd.DataFrame, str],
) -> None:
    spec, frame, freq = case
    _assert_prophet_writes_the_same(History(frame, freq), spec)


# Shorter than those above, which most specs would interpolate: only cmdstan fits that, for seconds and on both sides.
@pytest.mark.parametrize("spec", SPECS, ids=["additive", "multiplicative", "logistic"])
@pytest.mark.parametrize("freq", ["D", "W", "MS", "YS"])
@pytest.mark.parametrize("rows", [12, 25, 60])
def test_of_a_short_history_too(spec: ProphetSpec, freq: str, rows: int) -> None:
    frame = daily(5, rows)[["ds", "y"]].assign(ds=pd.date_range("2001-01-01", periods=rows, freq=freq).as_unit("ns"))
    history = History(frame, freq)
    assert _assert_prophet_writes_the_same(history, spec).solver == "exact"


def _assert_prophet_writes_the_same(history: History, spec: ProphetSpec) -> ForecastModel:
    """A model made from arrays, which is given, and one written by Prophet with the exact solver."""
    frame, freq = history.frame, history.freq
    prophet = prophet_model.fit(history, spec, "exact")
    expected = ForecastModel.from_json(prophet_model.to_json(prophet), freq=freq)
    (outcome,) = fit_histories([history], spec)
    model = _model(outcome)
    assert {name: getattr(model, name) for name in SAME} == {name: getattr(expected, name) for name in SAME}
    assert model.solver == prophet_model.solver_of(prophet)
    assert model.log_posterior == pytest.approx(expected.log_posterior, rel=1e-9)
    for name in ("last_cap", "last_floor"):  # of which Prophet's JSON keeps ten decimals
        kept = getattr(expected, name)
        assert getattr(model, name) == (None if kept is None else pytest.approx(kept, abs=1e-9)), name
    for name in ("changepoints_t", "regressor_mean", "regressor_std"):
        assert np.array_equal(getattr(model, name), getattr(expected, name)), name
    ds, columns = _rows(spec, frame)
    got, wanted = predict(model, ds, columns).yhat, predict(expected, ds, columns).yhat
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-7 * np.abs(wanted).max())
    return model


@pytest.mark.parametrize("spec", SPECS, ids=["additive", "multiplicative", "logistic"])
def test_a_series_alone_and_in_a_group_is_fitted_the_same_to_the_bit(spec: ProphetSpec) -> None:
    histories = [History(daily(seed)[["ds", "y"]], "D") for seed in range(4)]
    histories.insert(2, History(daily(9, 150)[["ds", "y"]], "D"))
    for history, outcome in zip(histories, fit_histories(histories, spec), strict=True):
        _assert_same_fit(_model(outcome), _model(fit_histories([history], spec)[0]))


@pytest.mark.parametrize("spec", SPECS, ids=["additive", "multiplicative", "logistic"])
@pytest.mark.parametrize("rows", [10, 101, 730, 731])
def test_a_fit_of_the_first_rows_is_the_fit_of_a_history_that_ends_there(spec: ProphetSpec, rows: int) -> None:
    """Which is not given: at 731 days the yearly seasonality comes in, and changepoints and scales move."""
    frame = daily(3, 760)
    ds = pd.DatetimeIndex(frame["ds"]).asi8
    y = frame["y"].to_numpy()[None]
    shared = SharedCalendar.of(ds, spec, "D")
    shared.fit(y)  # fills what the cutoffs share
    prefix = _model(shared.fit(y[:, :rows], rows=rows)[0])
    alone = _model(SharedCalendar.of(ds[:rows].copy(), spec, "D").fit(y[:, :rows])[0])
    assert prefix.features == alone.features
    assert (prefix.last_date, prefix.n_history) == (ds[rows - 1], rows)
    _assert_same_fit(prefix, alone, 1e-9)


def test_columns_may_be_shared_or_each_series_own() -> None:
    random = np.random.default_rng(1)
    price = random.normal(3, 2, (3, 200))
    y = 100 + 5 * price + random.normal(0, 1, (3, 200))
    calendar = SharedCalendar.of(DAYS, ProphetSpec(regressors=(Regressor(name="price"),)), "D")
    own = calendar.fit(y, {"price": price})
    assert [round(float(_model(outcome).regressor_mean[0]), 9) for outcome in own] == np.round(
        price.mean(axis=1), 9
    ).tolist()
    shared = calendar.fit(y[[0, 0]], {"price": price[0]})
    for outcome in shared:
        _assert_same_fit(_model(outcome), _model(own[0]))


def test_a_bad_neighbour_takes_nothing_from_the_others() -> None:
    good = daily(1)["y"].to_numpy()
    y = np.stack([good, np.full(200, np.nan), np.zeros(200), np.where(np.arange(200) == 7, np.inf, good), good])
    for spec in SPECS:
        alone, broken, zeros, infinite, last = SharedCalendar.of(DAYS, spec, "D").fit(y)
        assert isinstance(broken, FitError)
        assert isinstance(infinite, FitError)
        assert _model(zeros).solver == "cmdstan"
        _assert_same_fit(_model(alone), _model(last))
        _assert_same_fit(_model(alone), _model(SharedCalendar.of(DAYS, spec, "D").fit(good[None])[0]))


def test_histories_that_lack_a_column_or_a_bound_fail_alone_and_in_order() -> None:
    spec = ProphetSpec(growth="logistic", regressors=(Regressor(name="price"),))
    whole = daily(2).assign(price=np.arange(200.0))
    low = whole.assign(cap=whole["y"].min() - 200)
    frames = [whole.drop(columns="price"), whole, whole.drop(columns="cap"), low]
    no_price, sound, no_cap, low_cap = fit_histories([History(frame, "D") for frame in frames], spec)
    assert "price is missing" in str(no_price)
    assert _model(sound).last_cap == whole["cap"].iloc[-1]
    assert "needs a cap" in str(no_cap)
    assert "greater than floor" in str(low_cap)


@pytest.mark.parametrize("growth", ["linear", "flat"])
@pytest.mark.parametrize(
    "y", [[3.0] * 30, [0.0] * 30, [5.0, 7.0], list(range(1, 31))], ids=["same", "0", "two", "line"]
)
def test_a_perfect_fit_is_cmdstans_and_says_so(y: list[float], growth: str, caplog: pytest.LogCaptureFixture) -> None:
    spec = ProphetSpec(growth=growth, weekly_seasonality=False)
    calendar = SharedCalendar.of(DAYS[: len(y)], spec, "D")
    with caplog.at_level(logging.INFO, "forecasting.fit"):
        (outcome,) = calendar.fit(np.array([y]))
    model = _model(outcome)
    if growth == "flat" and len(set(y)) > 1:  # which a flat line does not fit perfectly
        assert model.solver == "exact"
        return
    assert model.solver == "cmdstan"
    assert "cmdstan fits instead of the exact solver" in caplog.text
    np.testing.assert_allclose(predict(model, DAYS[: len(y)]).yhat, y, atol=0.05 * max(1.0, max(y)))


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e9, 1e200])
@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_a_forecast_scales_with_the_unit_of_y(scale: float, mode: str) -> None:
    spec, y = ProphetSpec(seasonality_mode=mode), daily(4)["y"].to_numpy()
    plain, scaled = SharedCalendar.of(DAYS, spec, "D").fit(np.stack([y, y * scale]))
    later = DAYS + 90 * 86_400 * 10**9
    expected = predict(_model(plain), later).yhat
    np.testing.assert_allclose(predict(_model(scaled), later).yhat / scale, expected, rtol=1e-6)


def test_arrays_of_the_wrong_shape_and_dates_out_of_order_are_refused() -> None:
    calendar = SharedCalendar.of(DAYS, ProphetSpec())
    assert calendar.freq == "D"
    for y, columns, rows in (
        (np.zeros(200), {}, None),
        (np.zeros((1, 199)), {}, None),
        (np.zeros((1, 201)), {}, 201),
        (np.zeros((2, 200)), {"price": np.zeros((1, 200))}, None),
    ):
        with pytest.raises(ValueError, match=r"shape|has 200 dates"):
            calendar.fit(y, columns, rows)
    with pytest.raises(ValueError, match="ascending"):
        SharedCalendar.of(DAYS[::-1], ProphetSpec(), "D")
