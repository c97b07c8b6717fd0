"""Forecasts with their intervals: right, the same every time, and the same whatever else is asked for."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.interval_cases import CASES, Case, simulate
from forecasting.errors import RowsError
from forecasting.forecast import Forecast, forecast, forecast_many, prepare, quantiles
from forecasting.predict_many import RowBlock
from forecasting.state import Calibration, ForecastModel
from forecasting.table import ModelTable

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

DAY = 86_400 * 10**9
ARRAYS = ("yhat", "yhat_lower", "yhat_upper", "trend", "trend_lower", "trend_upper")
SHORT = ("daily", "logistic", "posterior draws", "rare changes")
BY_NAME = {case.name: case for case in CASES}


def _rows(model: ForecastModel, days: npt.ArrayLike) -> tuple[Integers, dict[str, Floats]]:
    """Rows that many days after the history's end, with a cap where one is needed."""
    ds = model.history_end + np.atleast_1d(days).astype(np.int64) * DAY
    return ds, {"cap": np.full(len(ds), 70.0)} if model.growth == "logistic" else {}


def _block(models: list[ForecastModel], days: list[npt.ArrayLike]) -> tuple[ModelTable, RowBlock]:
    """Requests for all models, the days for each."""
    ds = [_rows(model, own)[0] for model, own in zip(models, days, strict=True)]
    offsets = np.concatenate([[0], np.cumsum([len(own) for own in ds])])
    block = RowBlock(np.arange(len(models)), offsets, np.concatenate(ds), {"cap": np.full(offsets[-1], 70.0)})
    return ModelTable.pack(models), block


def _error(case: Case, samples: int) -> tuple[float, float]:
    """The rms and largest relative error of the half-width at 80 % against simulation."""
    ds, columns = case.rows()
    truth = np.quantile(simulate(case.model, ds, columns, samples, seed=1), [0.1, 0.9], axis=0)
    got = forecast(case.model, ds, columns)
    error = (got.yhat_upper - got.yhat_lower) / (truth[1] - truth[0]) - 1.0
    return float(np.sqrt((error**2).mean())), float(np.abs(error).max())


@pytest.mark.parametrize("name", SHORT)
def test_half_widths_are_those_of_a_simulation(name: str) -> None:
    """40,000 samples know the half-width to about half a percent, twice that where changes are rare."""
    rms, largest = _error(BY_NAME[name], 40_000)
    assert rms < 0.015
    assert largest < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_half_widths_are_those_of_a_long_simulation(case: Case) -> None:
    """200,000 samples: 0.5 % rms and 1 % at most, twice that for logistic growth."""
    rms, largest = _error(case, 200_000)
    slack = 2.0 if case.is_logistic else 1.0
    assert rms < 0.005 * slack
    assert largest < 0.01 * slack


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_row_is_the_same_alone_daily_monthly_and_in_disorder(case: Case) -> None:
    """Identical bytes: of the forecast, its trend and both intervals."""
    daily = np.arange(-40, 366)
    whole = forecast(case.model, *_rows(case.model, daily))
    monthly, shuffled = np.arange(5, 366, 30), np.random.default_rng(3).permutation(daily)[:50]
    for days in (np.array([335]), np.array([-7]), monthly, shuffled, np.array([3, 3, -40, 3])):
        part = forecast(case.model, *_rows(case.model, days))
        for name in ARRAYS:
            assert getattr(part, name).tobytes() == getattr(whole, name)[days + 40].tobytes(), name


def test_a_row_of_many_is_the_same_in_any_company() -> None:
    """Alone, daily, monthly; beside models of every kind, and beside a request that fails."""
    models = [case.model for case in CASES]
    days = [np.arange(-40, 366) for _ in models]
    table, block = _block(models, days)
    whole = forecast_many(table, block)
    chosen = [np.arange(5 + place, 366, 30 * (place % 2) + 1) for place in range(len(models))]
    _, fewer = _block(models, chosen)
    part = forecast_many(table, fewer)
    for place, own in enumerate(chosen):
        here = block.offsets[place] + own + 40
        rows = slice(fewer.offsets[place], fewer.offsets[place + 1])
        single = RowBlock(np.array([place]), np.array([0, 1]), block.ds[here[:1]], {"cap": np.array([70.0])})
        alone = forecast_many(table, single)
        for name in ARRAYS:
            assert getattr(part, name)[rows].tobytes() == getattr(whole, name)[here].tobytes(), (models[place], name)
            assert getattr(alone, name)[0] == getattr(whole, name)[here[0]], name


def test_many_at_once_are_each_alone() -> None:
    """Ragged requests to models of every kind, with calibrations and widths of their own: to the last few bits."""
    calibrations = (None, Calibration.overall(1.3), Calibration(np.array([0.05, 0.2, 0.4]), np.array([1.0, 2.0, 1.5])))
    models = [
        replace(case.model, calibration=calibrations[place % 3], interval_width=(0.8, 0.95)[place % 2])
        for place, case in enumerate(CASES)
    ]
    days = [np.arange(-20, 300, 7 + place) for place in range(len(models))]
    table, block = _block(models, days)
    widths = np.linspace(0.5, 0.9, len(models))
    for given, many in (
        (None, forecast_many(table, block, components=True)),
        (widths, forecast_many(table, block, interval_width=widths)),
        (np.full(len(models), 0.9), forecast_many(table, block, interval_width=0.9)),
    ):
        for place, model in enumerate(models):
            width = None if given is None else float(given[place])
            alone = forecast(model, *_rows(model, days[place]), interval_width=width)
            for name in ARRAYS:
                own = getattr(many, name)[block.offsets[place] : block.offsets[place + 1]]
                np.testing.assert_allclose(own, getattr(alone, name), rtol=1e-11, err_msg=f"{place} {name}")


def test_a_request_without_a_cap_hurts_no_other() -> None:
    """Its rows are NaN, bounds and all; the others' are what they were."""
    models = [BY_NAME[name].model for name in ("daily", "logistic", "posterior draws, logistic", "logistic")]
    table, block = _block(models, [np.arange(1, 9)] * 4)
    caps = block.columns["cap"].copy()
    caps[8:24] = np.nan
    caps[16] = 70.0
    sound, broken = forecast_many(table, block), forecast_many(table, replace(block, columns={"cap": caps}))
    for name in ARRAYS:
        values = getattr(broken, name)
        assert np.isnan(values[np.r_[8:16, 17:24]]).all(), name
        kept = np.r_[0:8, 16, 24:32]
        assert values[kept].tobytes() == getattr(sound, name)[kept].tobytes(), name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_quantiles_increase_and_the_bounds_are_two_of_them(case: Case) -> None:
    """For every kind of model."""
    rows = _rows(case.model, [1, 10, 100, 300])
    values = quantiles(case.model, *rows, (0.02, 0.1, 0.35, 0.5, 0.65, 0.9, 0.98))
    assert np.all(np.diff(values, axis=1) > 0)
    got = forecast(case.model, *rows, interval_width=0.8)
    np.testing.assert_allclose(got.yhat_lower, values[:, 1], rtol=1e-12)
    np.testing.assert_allclose(got.yhat_upper, values[:, 5], rtol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_call_twice_gives_identical_bytes(case: Case) -> None:
    """Bounds too."""
    rows = _rows(case.model, np.arange(1, 60))
    first, second = forecast(case.model, *rows), forecast(case.model, *rows)
    for name in ARRAYS:
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


@pytest.mark.parametrize("name", ["daily", "flat", "logistic", "daily, multiplicative"])
def test_inside_the_history_there_is_only_noise(name: str) -> None:
    """Half-width z sigma, and the trend's bounds are the trend; also before the history and at its end."""
    model = BY_NAME[name].model
    got = forecast(model, *_rows(model, [-900, -300, -1, 0]), interval_width=0.9)
    half = NormalDist().inv_cdf(0.95) * model.sigma_obs[0] * model.y_scale
    np.testing.assert_allclose(got.yhat_upper - got.yhat, half, rtol=1e-9)
    np.testing.assert_allclose(got.yhat - got.yhat_lower, half, rtol=1e-9)
    np.testing.assert_allclose(got.trend_lower, got.trend, rtol=1e-12)
    np.testing.assert_allclose(got.trend_upper, got.trend, rtol=1e-12)


def _halves(got: Forecast) -> tuple[Floats, Floats]:
    return got.yhat - got.yhat_lower, got.yhat_upper - got.yhat


@pytest.mark.parametrize("name", ["daily", "logistic", "posterior draws"])
def test_a_calibration_scales_yhats_distance_and_leaves_the_trends(name: str) -> None:
    """By the factor at the row's horizon, in scaled time past the history."""
    model = BY_NAME[name].model
    days = np.array([-10, 0, 73, 146, 365])
    factors = np.array([0.5, 0.5, 1.0, 1.5, 1.5])
    calibrated = replace(model, calibration=Calibration(np.array([0.0, 0.2]), np.array([0.5, 1.5])))
    before, after = (forecast(own, *_rows(own, days)) for own in (model, calibrated))
    for plain, scaled in zip(_halves(before), _halves(after), strict=True):
        np.testing.assert_allclose(scaled, plain * factors, rtol=1e-9)
    np.testing.assert_array_equal(after.trend_upper, before.trend_upper)
    wide = quantiles(calibrated, *_rows(model, days), (0.1, 0.9))
    np.testing.assert_allclose(wide, np.stack([after.yhat_lower, after.yhat_upper], axis=1), rtol=1e-12)


def test_changepoints_after_the_history_count_as_prophet_counts_them() -> None:
    """In the rate S and in the mean of |delta|, though the trend they damp is known."""
    model = BY_NAME["daily"].model
    later = np.array([1.0, 1.2])
    damped = replace(
        model,
        changepoints_t=np.append(model.changepoints_t, later),
        delta=np.append(model.delta, [[0.01, -0.01]], axis=1),
    )
    same = replace(
        model,
        changepoints_t=np.append([0.0, 0.0], model.changepoints_t),
        delta=np.append([[0.01, -0.01]], model.delta, axis=1),
    )
    rows = _rows(model, [30, 300])
    for got, expected in zip(_halves(forecast(damped, *rows)), _halves(forecast(same, *rows)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_the_models_own_width_is_taken_unless_another_is_given() -> None:
    """And one that is none is refused, with one model or many."""
    model = replace(BY_NAME["daily"].model, interval_width=0.95)
    rows = _rows(model, [1, 2])
    own, given = forecast(model, *rows), forecast(BY_NAME["daily"].model, *rows, interval_width=0.95)
    np.testing.assert_array_equal(own.yhat_upper, given.yhat_upper)
    with pytest.raises(ValueError, match="interval width"):
        forecast(model, *rows, interval_width=1.0)
    table, block = _block([model], [[1, 2]])
    with pytest.raises(ValueError, match="interval width"):
        forecast_many(table, block, interval_width=0.0)
    with pytest.raises(ValueError, match="interval width"):
        prepare(80.0)


def test_rows_that_lack_a_cap_are_refused_by_name() -> None:
    """As by predict."""
    model = BY_NAME["logistic"].model
    with pytest.raises(RowsError, match="cap"):
        forecast(model, _rows(model, [1])[0])


def test_no_rows_have_an_empty_forecast() -> None:
    """Nothing was asked, nothing is wrong."""
    for name in ("daily", "flat", "logistic", "posterior draws"):
        model = BY_NAME[name].model
        got = forecast(model, *_rows(model, np.empty(0)))
        assert [len(getattr(got, array)) for array in ARRAYS] == [0] * len(ARRAYS)
