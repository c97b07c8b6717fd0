"""The token bucket, by a clock that the test moves."""

from __future__ import annotations

import pytest

from serving.rate import RateLimiter


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_caller_gets_his_rate_and_no_more(clock: Clock) -> None:
    """Five at once, then one every fifth of a second, told how long to wait."""
    limits = RateLimiter(clock)
    assert [limits.take("a", 5) for _ in range(5)] == [0] * 5
    assert limits.take("a", 5) == pytest.approx(0.2)
    clock.seconds += 0.15
    assert limits.take("a", 5) == pytest.approx(0.05)
    clock.seconds += 0.05 + 1e-9
    assert limits.take("a", 5) == 0
    assert limits.take("a", 5) == pytest.approx(0.2)


def test_a_long_silence_saves_up_one_second_s_worth(clock: Clock) -> None:
    """A full bucket does not overflow."""
    limits = RateLimiter(clock)
    limits.take("a", 3)
    clock.seconds += 3600
    assert [limits.take("a", 3) == 0 for _ in range(4)] == [True, True, True, False]


def test_one_caller_s_haste_is_not_another_s(clock: Clock) -> None:
    """Each has a bucket of his own."""
    limits = RateLimiter(clock)
    assert limits.take("a", 1) == 0
    assert limits.take("a", 1) > 0
    assert limits.take("b", 1) == 0


def test_a_slow_rate_has_a_whole_first_token(clock: Clock) -> None:
    """One every ten seconds means one now."""
    limits = RateLimiter(clock)
    assert limits.take("a", 0.1) == 0
    assert limits.take("a", 0.1) == pytest.approx(10)


def test_a_batch_is_paid_off_before_the_next_request(clock: Clock) -> None:
    """Ten forecasts at two a second are a debt of four seconds and a half."""
    limits = RateLimiter(clock)
    assert limits.take("a", 2) == 0
    limits.charge("a", 2, 9)
    assert limits.take("a", 2) == pytest.approx(4.5)
    clock.seconds += 4.5
    assert limits.take("a", 2) == 0
