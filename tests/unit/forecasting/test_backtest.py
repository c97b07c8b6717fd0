"""Rolling cutoffs, with a fit and a prediction that are easy to check."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from forecasting.backtest import BacktestResult, Cutoffs, backtest, cutoff_rows, seasonal_naive
from forecasting.configuration import Configuration
from forecasting.history import History, check_history
from forecasting.past import Ahead, Hindsight, Past, hindsight
from forecasting.plan import BacktestConfig
from forecasting.recipe import DAMPED_AVERAGE, STOCK
from forecasting.spec import ProphetSpec

CONFIGURATIONS = [
    Configuration(recipes=(STOCK,)),
    Configuration(recipes=(DAMPED_AVERAGE,)),
    Configuration(recipes=(DAMPED_AVERAGE, STOCK)),
    Configuration(recipes=(STOCK,), solver="cmdstan"),
]


def weekly(rows: int, freq: str = "D") -> History:
    ds = pd.date_range("2024-01-01", periods=rows, freq=freq)
    return check_history(pd.DataFrame({"ds": ds, "y": np.arange(rows) % 7 + np.arange(rows) // 7}))


def last_value(past: Past) -> Hindsight:
    """Forecast the last value that the fit saw, give or take one."""

    def ahead(end: int, horizon: int) -> Ahead:
        last = np.full(len(past.y[end : end + horizon]), past.y[end - 1])
        return Ahead(last, last - 1, last + 1)

    return ahead


def measured(history: History, config: BacktestConfig, way: Callable[[Past], Hindsight] = last_value) -> BacktestResult:
    past = Past.of(history)
    return backtest(Cutoffs.of(past, config), way(past))


def by(configuration: Configuration) -> Callable[[Past], Hindsight]:
    return lambda past: hindsight(past, configuration)


def test_cutoffs_go_back_from_the_end_by_the_period_while_enough_rows_are_left() -> None:
    assert cutoff_rows(100, horizon=10, period=5, min_train=30, cutoffs=3) == [80, 85, 90]
    assert cutoff_rows(45, horizon=10, period=5, min_train=30, cutoffs=3) == [30, 35]
    assert cutoff_rows(40, horizon=10, period=5, min_train=30, cutoffs=3) == [30]
    assert cutoff_rows(39, horizon=10, period=5, min_train=30, cutoffs=3) == []


def test_the_metrics_are_means_over_the_cutoffs() -> None:
    history = weekly(70)
    result = measured(history, BacktestConfig(cutoffs=2, horizon=7, period=7))
    assert result.cutoffs == (history.frame["ds"].iloc[55], history.frame["ds"].iloc[62])
    # From a Sunday's y = 6 + w the next week is 0..6 + w + 1: off by 5, 4, 3, 2, 1, 0, -1; the season moves by 1.
    assert result.metrics["mase"] == pytest.approx(16 / 7)
    assert result.metrics["bias"] == pytest.approx(14 / 7)
    assert result.metrics["coverage"] == pytest.approx(3 / 7)
    assert result.baseline["mase"] == pytest.approx(1.0)
    assert result.baseline["bias"] == pytest.approx(-1.0)
    assert "coverage" not in result.baseline


def test_a_short_history_has_no_metrics_and_a_note() -> None:
    result = measured(weekly(20), BacktestConfig())
    assert result.metrics == result.baseline == {}
    assert result.notes == ("no backtest: 20 rows, and one cutoff needs 21 + 7",)


def test_no_cutoffs_are_no_backtest() -> None:
    assert measured(weekly(100), BacktestConfig(cutoffs=0)).metrics == {}


def test_a_metric_that_is_undefined_is_left_out_and_noted() -> None:
    ds = pd.date_range("2024-01-01", periods=50)
    result = measured(check_history(pd.DataFrame({"ds": ds, "y": 0.0})), BacktestConfig())
    assert set(result.metrics) == {"smape", "bias", "coverage"}
    assert result.notes == ("mase is undefined in this backtest", "wape is undefined in this backtest")


def test_a_forecast_that_is_not_finite_has_infinite_metrics() -> None:
    def broken(past: Past) -> Hindsight:
        return lambda end, horizon: last_value(past)(end, horizon)._replace(yhat=np.full(horizon, np.nan))

    result = measured(weekly(50), BacktestConfig(), broken)
    assert set(result.metrics.values()) == {float("inf")}
    assert np.isfinite(list(result.baseline.values())).all()


def test_seasonal_naive_repeats_the_newest_value_at_each_place_of_the_season() -> None:
    past = np.array([1.0, 2.0, 3.0, 4.0, np.nan, 6.0])
    assert list(seasonal_naive(past, np.array([6, 7, 8, 9]), season=3)) == [4.0, 2.0, 6.0, 4.0]
    assert list(seasonal_naive(past, np.array([6, 7]), season=100)) == [6.0, 6.0]


def test_the_baseline_is_not_led_astray_by_gaps() -> None:
    full = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=90)}).assign(
        y=lambda t: t["ds"].dt.day_of_week + 1.0
    )
    gappy = check_history(full.drop(index=[33, 47, 48, 85]))
    assert measured(gappy, BacktestConfig(horizon=7)).baseline["bias"] == 0.0


@pytest.mark.parametrize("freq", ["s", "MS", "YS", "B", "QS"])
def test_every_frequency_can_be_backtested(freq: str) -> None:
    result = measured(weekly(60, freq), BacktestConfig(horizon=3))
    assert len(result.cutoffs) == 3
    assert "mase" in result.metrics


def test_a_grid_far_finer_than_the_rows_is_not_laid_out() -> None:
    history = check_history(weekly(60).frame, freq="ms")
    assert measured(history, BacktestConfig(horizon=3)).metrics["mase"] > 0


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_the_real_prophet_beats_the_last_value_on_a_weekly_series(configuration: Configuration) -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, 90)
    table = weekly(90).frame.assign(y=lambda t: t["y"] + noise)
    history = check_history(table)
    result = measured(history, BacktestConfig(cutoffs=1), by(configuration))
    assert result.metrics["mase"] < measured(history, BacktestConfig(cutoffs=1)).metrics["mase"]
    assert 0 <= result.metrics["coverage"] <= 1


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_fit_never_sees_what_it_forecasts(configuration: Configuration) -> None:
    """Whatever comes after the cutoff, the forecast made there is the same."""
    noise = np.random.default_rng(0).normal(0, 0.3, 90)
    table = weekly(90).frame.assign(y=lambda t: t["y"] + noise)
    other = table.assign(y=lambda t: t["y"].where(t.index < 60, -50.0))
    made = [hindsight(Past.of(check_history(frame)), configuration)(60, 10) for frame in (table, other)]
    for one, another in zip(*made, strict=True):
        assert one.tobytes() == another.tobytes()


def test_logistic_growth_gets_its_constant_cap_for_the_rows_ahead() -> None:
    spec = ProphetSpec(growth="logistic", cap=100)
    capped = Configuration(model=spec, recipes=(DAMPED_AVERAGE,))
    assert measured(weekly(60), BacktestConfig(cutoffs=1), by(capped)).metrics["mase"] > 0
