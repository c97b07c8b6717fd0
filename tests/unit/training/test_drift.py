"""When a champion counts as drifted, and how often one does by chance."""

from __future__ import annotations

import numpy as np
import pytest

from training.drift import DriftRules, effective_points, judge

RULES = DriftRules()
BACKTEST = {"mase": 1.0, "coverage": 0.8}


def hits(held: int, of: int) -> np.ndarray:
    """So many of so many inside, spread evenly."""
    return np.diff(np.floor(np.arange(of + 1) * held / of))


def test_few_points_are_not_judged() -> None:
    assert judge(np.full(9, 99.0), np.zeros(9), 0.8, BACKTEST, RULES).status == "unjudged"
    assert judge(np.full(10, 99.0), np.zeros(10), 0.8, BACKTEST, RULES).status == "drifted"


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        (np.full(20, 1.49), "steady"),
        (np.full(20, 1.51), "drifted"),
        (np.array([0.1] * 19 + [40.0]), "steady"),  # 2.1 times, by a single date
        (np.full(20, np.nan), "steady"),
    ],
)
def test_accuracy_drifts_when_it_is_far_off_and_not_by_a_few_dates(errors: np.ndarray, status: str) -> None:
    assert judge(errors, hits(16, 20), 0.8, BACKTEST, RULES).status == status


def test_without_a_backtest_the_coverage_alone_is_judged() -> None:
    assert judge(np.full(20, 99.0), hits(16, 20), 0.8, {}, RULES).status == "steady"
    assert judge(np.full(20, 0.1), hits(5, 20), 0.8, {}, RULES).status == "drifted"


@pytest.mark.parametrize(
    ("held", "promised", "status"),
    [(20, 0.8, "steady"), (11, 0.8, "drifted"), (12, 0.8, "steady"), (11, 0.6, "steady"), (11, 0.95, "drifted")],
)
def test_coverage_drifts_below_what_chance_allows(held: int, promised: float, status: str) -> None:
    """P(X <= 11) of 20 at 80 % is 0.0100 - 0.00002, P(X <= 12) is 0.032; a backtest that held less promised less."""
    verdict = judge(np.ones(20), hits(held, 20), 0.8, {"mase": 1.0, "coverage": promised}, RULES)
    assert verdict.status == status
    assert len(verdict.reasons) == (status == "drifted")


def test_values_that_follow_each_other_count_as_fewer() -> None:
    noise = np.random.default_rng(3).normal(size=2000)
    assert effective_points(noise) == pytest.approx(2000, rel=0.1)
    followed = np.convolve(noise, 0.5 ** np.arange(20))  # autocorrelation 0.5: (1 - 0.5) / (1 + 0.5)
    assert effective_points(followed) == pytest.approx(2000 / 3, rel=0.15)
    assert effective_points(np.ones(7)) == 7


def test_chance_alone_seldom_looks_like_drift() -> None:
    """1,000 champions that do what their backtest promised, errors from day to day alike: at most 3 in 100 listed."""
    rng = np.random.default_rng(11)
    listed = 0
    for _ in range(1000):
        errors = rng.normal(size=40)
        for day in range(1, 40):
            errors[day] = 0.5 * errors[day - 1] + 0.75**0.5 * errors[day]
        inside = (np.abs(errors) < 1.2816).astype(float)
        verdict = judge(np.abs(errors) / 0.7979, inside, 0.8, BACKTEST, RULES)  # E|z| = 0.7979
        listed += verdict.status == "drifted"
    assert listed <= 30
