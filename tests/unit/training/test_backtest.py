"""Rolling cutoffs, with a fit and a prediction that are easy to check."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.history import History, check_history
from forecasting.recipe import DAMPED_AVERAGE, STOCK
from forecasting.spec import ProphetSpec
from training.backtest import backtest, cutoff_rows, seasonal_naive
from training.config import BacktestConfig
from training.cutoffs import Hindsight, by_cmdstan, by_recipe

SPEC = ProphetSpec()


def weekly(rows: int, freq: str = "D") -> History:
    ds = pd.date_range("2024-01-01", periods=rows, freq=freq)
    return check_history(pd.DataFrame({"ds": ds, "y": np.arange(rows) % 7 + np.arange(rows) // 7}))


def last_value(history: History, spec: ProphetSpec) -> Hindsight:
    """Forecast the last value that the fit saw, give or take one."""
    assert spec is SPEC
    y = history.frame["y"].to_numpy()

    def ahead(end: int, horizon: int) -> pd.DataFrame:
        last = np.full(len(y[end : end + horizon]), y[end - 1])
        return pd.DataFrame({"yhat": last, "yhat_lower": last - 1, "yhat_upper": last + 1})

    return ahead


def test_cutoffs_go_back_from_the_end_by_the_period_while_enough_rows_are_left() -> None:
    assert cutoff_rows(100, horizon=10, period=5, min_train=30, cutoffs=3) == [80, 85, 90]
    assert cutoff_rows(45, horizon=10, period=5, min_train=30, cutoffs=3) == [30, 35]
    assert cutoff_rows(40, horizon=10, period=5, min_train=30, cutoffs=3) == [30]
    assert cutoff_rows(39, horizon=10, period=5, min_train=30, cutoffs=3) == []


def test_the_metrics_are_means_over_the_cutoffs() -> None:
    history = weekly(70)
    result = backtest(history, SPEC, BacktestConfig(cutoffs=2, horizon=7, period=7), last_value)
    assert result.cutoffs == (history.frame["ds"].iloc[55], history.frame["ds"].iloc[62])
    # From a Sunday's y = 6 + w the next week is 0..6 + w + 1: off by 5, 4, 3, 2, 1, 0, -1; the season moves by 1.
    assert result.metrics["mase"] == pytest.approx(16 / 7)
    assert result.metrics["bias"] == pytest.approx(14 / 7)
    assert result.metrics["coverage"] == pytest.approx(3 / 7)
    assert result.baseline["mase"] == pytest.approx(1.0)
    assert result.baseline["bias"] == pytest.approx(-1.0)
    assert "coverage" not in result.baseline


def test_a_short_history_has_no_metrics_and_a_note() -> None:
    result = backtest(weekly(20), SPEC, BacktestConfig(), last_value)
    assert result.metrics == result.baseline == {}
    assert result.notes == ("no backtest: 20 rows, and one cutoff needs 21 + 7",)


def test_no_cutoffs_are_no_backtest() -> None:
    assert backtest(weekly(100), SPEC, BacktestConfig(cutoffs=0), last_value).metrics == {}


def test_a_metric_that_is_undefined_is_left_out_and_noted() -> None:
    ds = pd.date_range("2024-01-01", periods=50)
    result = backtest(check_history(pd.DataFrame({"ds": ds, "y": 0.0})), SPEC, BacktestConfig(), last_value)
    assert set(result.metrics) == {"smape", "bias", "coverage"}
    assert result.notes == ("mase is undefined in this backtest", "wape is undefined in this backtest")


def test_a_forecast_that_is_not_finite_has_infinite_metrics() -> None:
    def broken(history: History, spec: ProphetSpec) -> Hindsight:
        return lambda end, horizon: last_value(history, spec)(end, horizon).assign(yhat=np.nan)

    result = backtest(weekly(50), SPEC, BacktestConfig(), broken)
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
    assert backtest(gappy, SPEC, BacktestConfig(horizon=7), last_value).baseline["bias"] == 0.0


@pytest.mark.parametrize("freq", ["s", "MS", "YS", "B", "QS"])
def test_every_frequency_can_be_backtested(freq: str) -> None:
    result = backtest(weekly(60, freq), SPEC, BacktestConfig(horizon=3), last_value)
    assert len(result.cutoffs) == 3
    assert "mase" in result.metrics


def test_a_grid_far_finer_than_the_rows_is_not_laid_out() -> None:
    history = check_history(weekly(60).frame, freq="ms")
    assert backtest(history, SPEC, BacktestConfig(horizon=3), last_value).metrics["mase"] > 0


@pytest.mark.parametrize("forecaster", [by_recipe(STOCK), by_recipe(DAMPED_AVERAGE), by_cmdstan])
def test_the_real_prophet_beats_the_last_value_on_a_weekly_series(forecaster: Any) -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, 90)
    table = weekly(90).frame.assign(y=lambda t: t["y"] + noise)
    history = check_history(table)
    result = backtest(history, SPEC, BacktestConfig(cutoffs=1), forecaster)
    assert result.metrics["mase"] < backtest(history, SPEC, BacktestConfig(cutoffs=1), last_value).metrics["mase"]
    assert 0 <= result.metrics["coverage"] <= 1


@pytest.mark.parametrize("forecaster", [by_recipe(STOCK), by_recipe(DAMPED_AVERAGE), by_cmdstan])
def test_a_fit_never_sees_what_it_forecasts(forecaster: Any) -> None:
    """Whatever comes after the cutoff, the forecast made there is the same."""
    noise = np.random.default_rng(0).normal(0, 0.3, 90)
    table = weekly(90).frame.assign(y=lambda t: t["y"] + noise)
    other = table.assign(y=lambda t: t["y"].where(t.index < 60, -50.0))
    made = [forecaster(check_history(frame), SPEC)(60, 10) for frame in (table, other)]
    pd.testing.assert_frame_equal(*made, check_exact=True)


def test_logistic_growth_gets_its_constant_cap_for_the_rows_ahead() -> None:
    spec = ProphetSpec(growth="logistic", cap=100)
    assert backtest(weekly(60), spec, BacktestConfig(cutoffs=1), by_recipe(DAMPED_AVERAGE)).metrics["mase"] > 0
