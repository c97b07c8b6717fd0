"""Each metric against figures worked out by hand, and its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting import metrics

ACTUAL = np.array([10.0, 20.0, 30.0, 40.0])
FORECAST = np.array([12.0, 18.0, 33.0, 40.0])
EMPTY = np.array([])
amounts = arrays(np.float64, 8, elements=st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6))


def test_mase_is_the_error_in_units_of_the_seasonal_naive_error_in_training() -> None:
    train = np.array([1.0, 5.0, 3.0, 8.0, 4.0, 12.0])  # a season apart (2): 2, 3, 1, 4 -> 2.5
    assert metrics.mase(ACTUAL, FORECAST, train, season=2) == pytest.approx((2 + 2 + 3 + 0) / 4 / 2.5)


def test_mase_leaves_out_pairs_with_a_gap() -> None:
    train = np.array([1.0, np.nan, 3.0, 8.0, 4.0, 12.0])  # 2, 1, 4
    assert metrics.mase(ACTUAL, FORECAST, train, season=2) == pytest.approx(1.75 / (7 / 3))


def test_mase_falls_back_on_the_step_before_when_training_has_no_season() -> None:
    assert metrics.mase(ACTUAL, FORECAST, np.array([1.0, 3.0]), season=7) == pytest.approx(1.75 / 2)


@pytest.mark.parametrize("train", [np.full(9, 3.0), np.array([3.0])])
def test_mase_is_undefined_when_training_never_changes(train: metrics.Floats) -> None:
    assert math.isnan(metrics.mase(ACTUAL, FORECAST, train, season=2))


def test_smape_wape_and_bias_are_as_worked_out_by_hand() -> None:
    assert metrics.smape(ACTUAL, FORECAST) == pytest.approx((4 / 22 + 4 / 38 + 6 / 63 + 0) / 4)
    assert metrics.wape(ACTUAL, FORECAST) == pytest.approx(7 / 100)
    assert metrics.bias(ACTUAL, FORECAST) == pytest.approx(3 / 4)


def test_bias_is_positive_when_the_forecast_is_too_high() -> None:
    assert metrics.bias(ACTUAL, ACTUAL + 1) == 1.0


def test_coverage_counts_the_ends_of_the_interval_in() -> None:
    assert metrics.coverage(ACTUAL, np.array([10, 21, 0, 0]), np.array([15, 22, 30, 39])) == 0.5


def test_smape_of_zeros_is_zero_and_wape_of_zeros_is_undefined() -> None:
    zeros = np.zeros(3)
    assert metrics.smape(zeros, zeros) == 0.0
    assert math.isnan(metrics.wape(zeros, zeros))


def test_no_rows_have_no_metrics() -> None:
    values = [
        metrics.mase(EMPTY, EMPTY, ACTUAL, 1),
        metrics.smape(EMPTY, EMPTY),
        metrics.wape(EMPTY, EMPTY),
        metrics.bias(EMPTY, EMPTY),
        metrics.coverage(EMPTY, EMPTY, EMPTY),
    ]
    assert all(math.isnan(value) for value in values)


@given(amounts, amounts, st.floats(0.01, 100))
def test_scale_free_metrics_do_not_care_about_the_unit(actual: metrics.Floats, other: metrics.Floats, k: float) -> None:
    assert metrics.smape(k * actual, k * other) == pytest.approx(metrics.smape(actual, other), nan_ok=True)
    assert metrics.wape(k * actual, k * other) == pytest.approx(metrics.wape(actual, other), nan_ok=True)
    scaled = metrics.mase(k * actual, k * other, k * actual, 2)
    assert scaled == pytest.approx(metrics.mase(actual, other, actual, 2), nan_ok=True)


@given(amounts, amounts)
def test_smape_lies_between_0_and_2_and_a_perfect_forecast_has_no_error(
    actual: metrics.Floats, other: metrics.Floats
) -> None:
    assert 0 <= metrics.smape(actual, other) <= 2
    assert metrics.smape(actual, actual) == metrics.bias(actual, actual) == 0
    assert metrics.coverage(actual, actual, actual) == 1
