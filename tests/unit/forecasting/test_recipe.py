"""Recipes: what they make of a spec, that collapse and damping are what they say, that Prophet forecasts alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError

from forecasting.calibration import calibrate, interval_score, residual_ratios
from forecasting.errors import FitError
from forecasting.fit import Outcome, SharedCalendar
from forecasting.forecast import forecast
from forecasting.future import make_future
from forecasting.history import History
from forecasting.predict import predict
from forecasting.prophet_json_writer import write_model
from forecasting.recipe import DAMPED_AVERAGE, STOCK, Pace, Recipe, RecipeChoice, cadence_of
from forecasting.recipe_fit import collapse, damp, fit_histories_by, fit_recipe, level
from forecasting.spec import ProphetSpec, Regressor, Seasonality
from forecasting.spec_features import features_of
from forecasting.state import ForecastModel

FREQUENCIES = ["15min", "h", "6h", "D", "B", "W-SUN", "2W-SUN", "MS", "QS-JAN", "YS-JAN"]
SCALES = (0.05, 0.2, 0.5)
PLAIN = ProphetSpec()


def _dates(freq: str, rows: int) -> np.ndarray:
    return pd.date_range("2015-01-01", periods=rows, freq=freq).as_unit("ns").asi8


def _monthly(seed: int = 0, rows: int = 72) -> np.ndarray:
    random, month = np.random.default_rng(seed), np.arange(rows)
    trend = 100 + 0.8 * month + np.cumsum(random.normal(0, 1.0, rows))
    return trend * (1 + 0.2 * np.sin(2 * np.pi * month / 12)) + random.normal(0, 2, rows)


def _model(outcome: Outcome) -> ForecastModel:
    assert isinstance(outcome, ForecastModel), outcome
    return outcome


def _members(mode: str) -> tuple[tuple[ForecastModel, ...], np.ndarray]:
    """Three fits of one history, and the dates of two years after it."""
    spec, ds = ProphetSpec(seasonality_mode=mode, yearly_seasonality=6), _dates("MS", 96)
    (members,) = SharedCalendar.of(ds[:72], spec, "MS").fit_scales(_monthly()[None], SCALES)
    assert isinstance(members, tuple)
    assert len(members) == 3
    return members, ds[72:]


def _same(one: ForecastModel, other: ForecastModel) -> None:
    for name in ("k", "m", "delta", "beta", "sigma_obs", "changepoints_t"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for name in ("horizons", "factors"):
        assert np.array_equal(getattr(one.calibration, name), getattr(other.calibration, name)), name


def test_an_additive_collapse_forecasts_the_mean_of_its_members() -> None:
    members, ahead = _members("additive")
    mean = np.mean([predict(member, ahead).yhat for member in members], axis=0)
    np.testing.assert_allclose(predict(collapse(members), ahead).yhat, mean, rtol=1e-12)


def test_a_multiplicative_collapse_is_short_of_the_mean_by_the_covariance_of_trend_and_season() -> None:
    members, ahead = _members("multiplicative")
    found = [predict(member, ahead) for member in members]
    trends, seasons = (np.array([getattr(one, name) for one in found]) for name in ("trend", "multiplicative"))
    covariance = np.mean((trends - trends.mean(axis=0)) * (seasons - seasons.mean(axis=0)), axis=0)
    mean = np.mean([one.yhat for one in found], axis=0)
    np.testing.assert_allclose(predict(collapse(members), ahead).yhat, mean - covariance, rtol=1e-12)
    assert np.abs(covariance).max() < 0.01 * mean.mean()


@pytest.mark.parametrize("phi", [0.5, 0.8, 0.98, 1.0])
@pytest.mark.parametrize("shift", [0.0, -0.1])
def test_damping_and_shift_equal_their_formula_at_whole_steps(phi: float, shift: float) -> None:
    members, _ = _members("additive")
    model, step = collapse(members), 0.014
    damped = damp(model, phi, shift, step)
    slope, end = float(model.k[0] + model.delta.sum()), model.trend_lines.at(np.ones(1))[0]
    last = 12 if phi > 0.6 else 7  # when a hundredth of the slope is left
    powers = [sum(phi**i for i in range(1, min(tau, last) + 1)) for tau in range(1, 13)]
    expected = end + shift + step * slope * np.array(powers)
    np.testing.assert_allclose(damped.trend_lines.at(1.0 + step * np.arange(1, 13)), expected, rtol=1e-9)
    inside = np.linspace(0, 1, 50)
    np.testing.assert_allclose(damped.trend_lines.at(inside), model.trend_lines.at(inside), rtol=1e-12)
    if phi < 1.0:
        far = damped.trend_lines.at(np.array([40.0, 80.0]))
        assert far[0] == pytest.approx(far[1], rel=1e-9)
        whole = end + shift + step * slope * phi / (1.0 - phi)
        assert abs(far[0] - whole) <= 0.011 * abs(whole - end - shift)


def test_a_step_of_a_slow_damping_that_has_no_changepoint_is_near_its_formula() -> None:
    members, _ = _members("additive")
    model, step, phi = collapse(members), 0.014, 0.98
    slope, end = float(model.k[0] + model.delta.sum()), model.trend_lines.at(np.ones(1))[0]
    tau = np.arange(1, 220)
    risen = damp(model, phi, 0.0, step).trend_lines.at(1.0 + step * tau) - end
    exact = slope * step * np.cumsum(phi ** tau.astype(float))
    np.testing.assert_allclose(risen, exact, rtol=2e-3)


def test_without_damping_and_shift_a_model_stays_itself() -> None:
    members, _ = _members("additive")
    assert damp(members[0], 1.0, 0.0, 0.1) is members[0]


def test_the_level_is_what_the_newest_residuals_share() -> None:
    """Residuals of one height, in the trend's unit, are that height whatever their weights."""
    members, _ = _members("multiplicative")
    model, ds = members[0], _dates("MS", 72)[-12:]
    found = predict(model, ds)
    y = found.yhat + 0.03 * model.y_scale * (1.0 + found.multiplicative)
    assert level(model, ds, y, {}) == pytest.approx(0.03, rel=1e-9)


CASES = [
    ("MS", ProphetSpec(), 72),
    ("QS-JAN", ProphetSpec(), 40),
    ("YS-JAN", ProphetSpec(), 25),
    ("W-SUN", ProphetSpec(), 160),
    ("h", ProphetSpec(), 400),
    ("D", ProphetSpec(regressors=(Regressor(name="price"),), country_holidays="US"), 400),
    ("D", ProphetSpec(seasonality_mode="multiplicative"), 800),
]


@pytest.mark.parametrize(("freq", "spec", "rows"), CASES)
def test_stock_prophet_forecasts_the_same_from_the_written_model(freq: str, spec: ProphetSpec, rows: int) -> None:
    from prophet.serialize import model_from_json

    random = np.random.default_rng(5)
    frame = pd.DataFrame({"ds": pd.date_range("2015-01-01", periods=rows, freq=freq).as_unit("ns")})
    frame["y"] = 80 + 0.1 * np.arange(rows) + 5 * np.sin(np.arange(rows)) + random.normal(0, 1, rows)
    for term in spec.regressors:
        frame[term.name] = random.normal(3, 1, rows)
    (outcome,) = fit_histories_by(DAMPED_AVERAGE, [History(frame, freq)], spec)
    model = _model(outcome)
    assert (model.changepoints_t > 1.0).any()
    future = make_future(model, 60)
    given = pd.DataFrame({"ds": pd.DatetimeIndex(future.view("M8[ns]"))})
    for term in spec.regressors:
        given[term.name] = random.normal(3, 1, 60)
    prophet = model_from_json(write_model(model, frame))
    prophet.uncertainty_samples = 0
    columns = {term.name: given[term.name].to_numpy() for term in spec.regressors}
    np.testing.assert_allclose(predict(model, future, columns).yhat, prophet.predict(given)["yhat"], rtol=1e-9)


@pytest.mark.parametrize("freq", FREQUENCIES)
def test_no_season_has_more_pairs_than_half_its_rows(freq: str) -> None:
    """A pair beyond that is, on the rows, one that is there already, or nothing."""
    spec = ProphetSpec(
        yearly_seasonality=20,
        weekly_seasonality=9,
        seasonalities=(Seasonality(name="quarter", period=91.3125, fourier_order=40),),
    )
    ds = _dates(freq, 200)
    step = np.mean(np.diff(ds)) / 86_400e9
    for given in (spec, ProphetSpec()):
        told = DAMPED_AVERAGE.spec(given, "additive", ds, freq)
        for term in features_of(told, ds).seasonalities:
            assert term.order <= term.period / step / 2 + 0.1, term


def test_orders_are_prophets_own_where_they_fit_and_the_daily_one_is_raised() -> None:
    def orders(freq: str, rows: int, spec: ProphetSpec = PLAIN) -> dict[str, int]:
        ds = _dates(freq, rows)
        terms = features_of(DAMPED_AVERAGE.spec(spec, "additive", ds, freq), ds).seasonalities
        return {term.name: term.order for term in terms}

    assert orders("D", 800) == {"yearly": 10, "weekly": 3}
    assert orders("D", 300) == {"weekly": 3}
    assert orders("MS", 60) == {"yearly": 6}
    assert orders("QS-JAN", 40) == {"yearly": 2}
    assert orders("YS-JAN", 40) == {}
    assert orders("B", 300) == {"weekly": 2}
    assert orders("h", 600) == {"weekly": 3, "daily": 12}
    assert orders("h", 600, ProphetSpec(daily_seasonality=5)) == {"weekly": 3, "daily": 5}
    assert orders("h", 600, ProphetSpec(daily_seasonality=False)) == {"weekly": 3}
    own = ProphetSpec(seasonalities=(Seasonality(name="weekly", period=7, fourier_order=2),))
    assert orders("D", 300, own) == {"weekly": 2}


def test_cadences_follow_the_length_of_a_step() -> None:
    cadences = [cadence_of(freq) for freq in FREQUENCIES]
    assert cadences == [*["subdaily"] * 3, *["daily"] * 2, *["weekly"] * 2, "monthly", "quarterly", "yearly"]


def test_the_sign_that_decides_the_mode_is_that_of_the_rows_that_are_fitted() -> None:
    y, ds = _monthly(), _dates("MS", 72)
    later = y.copy()
    later[60:] = -5.0
    calendar = SharedCalendar.of(ds, ProphetSpec(), "MS")
    positive, negative = (_model(fit_recipe(calendar, DAMPED_AVERAGE, values[None])[0]) for values in (y, later))
    assert {term.mode for term in positive.features.seasonalities} == {"multiplicative"}
    assert {term.mode for term in negative.features.seasonalities} == {"additive"}
    before, unaware = (fit_recipe(calendar, DAMPED_AVERAGE, v[None, :60], rows=60)[0] for v in (y, later))
    _same(_model(before), _model(unaware))


@pytest.mark.parametrize("freq", ["MS", "D", "h"])
def test_a_fit_knows_nothing_of_the_dates_and_values_after_its_rows(freq: str) -> None:
    ds, y = _dates(freq, 96), _monthly(rows=96)
    longer = SharedCalendar.of(ds, ProphetSpec(), freq)
    _model(fit_recipe(longer, DAMPED_AVERAGE, y[None])[0])  # fills what cutoffs share
    cut = _model(fit_recipe(longer, DAMPED_AVERAGE, y[None, :70], rows=70)[0])
    alone = _model(fit_recipe(SharedCalendar.of(ds[:70].copy(), ProphetSpec(), freq), DAMPED_AVERAGE, y[None, :70])[0])
    ahead = ds[70:]
    np.testing.assert_allclose(predict(cut, ahead).yhat, predict(alone, ahead).yhat, rtol=1e-9)
    np.testing.assert_allclose(forecast(cut, ahead).yhat_upper, forecast(alone, ahead).yhat_upper, rtol=1e-7)


def test_a_series_alone_and_among_others_gets_the_same_model_to_the_bit() -> None:
    ds, y = _dates("MS", 72), np.stack([_monthly(seed) for seed in range(5)])
    y[1] -= 150.0  # additive, among multiplicative ones
    y[3, 4] = np.nan
    calendar = SharedCalendar.of(ds, ProphetSpec(), "MS")
    together = fit_recipe(calendar, DAMPED_AVERAGE, y)
    assert isinstance(together[3], FitError)
    for place in (0, 1, 2, 4):
        _same(_model(together[place]), _model(fit_recipe(calendar, DAMPED_AVERAGE, y[[place]])[0]))


def test_histories_come_back_in_their_order() -> None:
    histories = [
        History(
            pd.DataFrame({"ds": pd.DatetimeIndex(_dates("MS", rows).view("M8[ns]")), "y": _monthly(rows)[:rows]}), "MS"
        )
        for rows in (60, 72, 60)
    ]
    outcomes = [_model(outcome) for outcome in fit_histories_by(DAMPED_AVERAGE, histories, ProphetSpec())]
    assert [model.n_history for model in outcomes] == [60, 72, 60]


def test_the_stock_recipe_is_the_fit_that_the_spec_asks_for() -> None:
    calendar = SharedCalendar.of(_dates("MS", 72), ProphetSpec(changepoint_prior_scale=0.1), "MS")
    (recipe,), (plain,) = fit_recipe(calendar, STOCK, _monthly()[None]), calendar.fit(_monthly()[None])
    assert _model(recipe).calibration is None
    assert _model(recipe).features == _model(plain).features
    for name in ("k", "m", "delta", "beta", "sigma_obs", "changepoints_t", "log_posterior"):
        assert np.array_equal(getattr(recipe, name), getattr(plain, name)), name


@pytest.mark.parametrize("spec", [ProphetSpec(growth="flat"), ProphetSpec(growth="logistic", cap=500.0)])
def test_growth_that_is_not_linear_is_neither_damped_nor_averaged(spec: ProphetSpec) -> None:
    calendar = SharedCalendar.of(_dates("MS", 72), spec, "MS")
    model = _model(fit_recipe(calendar, DAMPED_AVERAGE, _monthly()[None])[0])
    told = DAMPED_AVERAGE.spec(spec, "multiplicative", calendar.ds, "MS")
    middle = told.model_copy(update={"changepoint_prior_scale": 0.2})
    plain = _model(SharedCalendar.of(calendar.ds, middle, "MS").fit(_monthly()[None])[0])
    for name in ("k", "m", "delta", "beta", "changepoints_t"):
        assert np.array_equal(getattr(model, name), getattr(plain, name)), name
    later = make_future(model, 12)
    columns = {"cap": np.full(12, 500.0)} if spec.growth == "logistic" else {}
    wide, narrow = forecast(model, later, columns), forecast(plain, later, columns)
    width = DAMPED_AVERAGE.monthly.width
    np.testing.assert_allclose(wide.yhat_upper - wide.yhat, width * (narrow.yhat_upper - narrow.yhat), rtol=1e-9)


def test_damping_does_not_itself_widen_intervals() -> None:
    """At each step they are `width` times those of the undamped average."""
    calendar = SharedCalendar.of(_dates("D", 200), ProphetSpec(weekly_seasonality=False), "D")
    y = _monthly(rows=200)[None]

    def fitted(**settings: float) -> ForecastModel:
        recipe = Recipe(name="mine", daily=DAMPED_AVERAGE.daily.model_copy(update=settings))
        return _model(fit_recipe(calendar, recipe, y)[0])

    plain, wide, damped = fitted(phi=1.0, width=1.0), fitted(phi=1.0, width=2.0), fitted(rho=0.9, width=2.0)
    assert damped.laplace_scale[0] > 2.0 * plain.laplace_scale[0]
    steps = make_future(plain, 11)
    before = forecast(plain, steps)
    for after in (forecast(wide, steps), forecast(damped, steps)):
        np.testing.assert_allclose(after.yhat_upper - after.yhat, 2.0 * (before.yhat_upper - before.yhat), rtol=1e-6)


def test_a_history_too_short_for_its_changepoints_gets_fewer_and_is_fitted_in_process() -> None:
    y = np.array([[5426.0, 5423, 5437, 5451, 5519, 5508, 5551, 5592, 5600, 5622, 5700, 5703, 5750, 5760, 5800, 5811]])
    model = _model(fit_recipe(SharedCalendar.of(_dates("QS-JAN", 16), ProphetSpec(), "QS-JAN"), DAMPED_AVERAGE, y)[0])
    assert (model.changepoints_t <= 1.0).sum() == 8 + 1  # one more at the end, where damping begins
    assert model.solver == "exact"


def test_a_calibration_is_the_power_of_the_quantile_that_its_weight_says() -> None:
    model = _model(
        fit_recipe(SharedCalendar.of(_dates("MS", 72), ProphetSpec(), "MS"), DAMPED_AVERAGE, _monthly()[None])[0]
    )
    assert model.calibration is not None
    ratios = np.array([*np.linspace(0.0, 3.0, 101), np.nan, np.inf])
    for weight in (0.25, 0.5, 1.0):
        found = calibrate(model, weight, ratios)
        assert found is not None
        np.testing.assert_allclose(found.factors, model.calibration.factors * 2.4**weight, rtol=1e-12)
    for nothing in (np.empty(0), np.full(3, np.nan)):
        assert calibrate(model, 0.5, nothing) is model.calibration
    assert calibrate(replace(model, calibration=None), 0.0, ratios) is None


def test_with_full_weight_the_calibrated_interval_holds_its_share_of_the_residuals() -> None:
    model = _model(
        fit_recipe(SharedCalendar.of(_dates("MS", 72), ProphetSpec(), "MS"), DAMPED_AVERAGE, _monthly()[None])[0]
    )
    later = np.tile(make_future(model, 10), 40)
    found = forecast(model, later)
    actual = found.yhat + np.random.default_rng(3).standard_t(4, 400) * 0.8 * (found.yhat_upper - found.yhat)
    ratios = residual_ratios(actual, found.yhat, found.yhat_lower, found.yhat_upper)
    own = calibrate(model, 1.0, ratios)
    wider = forecast(replace(model, calibration=own), later)
    inside = np.mean((wider.yhat_lower <= actual) & (actual <= wider.yhat_upper))
    assert inside == pytest.approx(0.8, abs=0.005)


def test_the_interval_score_is_width_plus_penalty_and_best_at_the_quantiles() -> None:
    actual, lower, upper = np.array([1.0, 5.0, 12.0]), np.full(3, 2.0), np.full(3, 10.0)
    assert interval_score(actual, lower, upper, 0.8) == pytest.approx((3 * 8 + 10 * (1 + 2)) / 3)
    drawn = np.random.default_rng(1).normal(0, 1, 20_000)
    scores = {
        half: interval_score(drawn, np.full(20_000, -half), np.full(20_000, half), 0.8) for half in (1.0, 1.2816, 1.6)
    }
    assert min(scores, key=lambda half: scores[half]) == 1.2816


def test_a_configuration_names_a_recipe_or_writes_its_own() -> None:
    choice: TypeAdapter[Recipe] = TypeAdapter(RecipeChoice)
    assert choice.validate_python("stock") is STOCK
    assert choice.validate_python("damped-average") is DAMPED_AVERAGE
    own = choice.validate_python({"name": "mine", "daily": {"changepoint_prior_scales": [0.1], "phi": 0.95}})
    assert own.daily == Pace(changepoint_prior_scales=(0.1,), phi=0.95)
    assert own.monthly == DAMPED_AVERAGE.monthly
    assert choice.validate_python(DAMPED_AVERAGE.model_dump(mode="json")) == DAMPED_AVERAGE
    with pytest.raises(ValidationError, match="damped-average, stock"):
        choice.validate_python("best")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": ""},
        {"name": "x", "colour": "red"},
        {"name": "x", "hourly": {}},
        {"name": "x", "daily": {"phi": 0.0}},
        {"name": "x", "daily": {"phi": 1.1}},
        {"name": "x", "daily": {"rho": -0.1}},
        {"name": "x", "daily": {"width": 0.0}},
        {"name": "x", "daily": {"changepoint_prior_scales": []}},
        {"name": "x", "daily": {"changepoint_prior_scales": [0.0]}},
        {"name": "x", "daily": {"seasonality_mode": "both"}},
        {"name": "x", "own_weight": 1.5},
    ],
)
def test_a_recipe_refuses_what_it_does_not_know(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(wrong)
