"""The grid of a series: inferred from its dates, and carried on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.calendar import (
    dates_from,
    future_dates,
    grid_positions,
    infer_frequency,
    is_subdaily,
    off_the_grid,
    season_length,
)

USUAL = ["D", "h", "MS", "ME", "QS-FEB", "QE-MAR", "W-WED", "YS-JAN", "YE-DEC", "B", "15min", "5min", "s", "2D", "3h"]


def regular(freq: str, rows: int = 40) -> pd.DatetimeIndex:
    return pd.date_range("2015-01-05", periods=rows, freq=freq, unit="ns")


@pytest.mark.parametrize("freq", USUAL)
def test_a_regular_series_has_the_frequency_it_was_made_with(freq: str) -> None:
    assert infer_frequency(regular(freq)) == freq


@pytest.mark.parametrize("freq", USUAL)
def test_missing_dates_do_not_change_the_frequency(freq: str) -> None:
    kept = np.random.default_rng(0).random(40) > 0.3
    assert infer_frequency(regular(freq)[kept]) == freq


@pytest.mark.parametrize(
    ("dates", "freq"),
    [
        (["2024-01-01", "2024-01-02"], "D"),
        (["2024-01-01", "2024-02-01"], "MS"),
        (["2024-01-31", "2024-02-29"], "ME"),
        (["2024-01-01", "2025-01-01"], "YS-JAN"),
        (["2024-01-15", "2024-02-15", "2024-03-15", "2024-04-15"], "MS"),
        (["2024-01-03", "2024-01-10"], "W-WED"),
        (["2024-01-01", "2024-01-04", "2024-01-05", "2024-01-13"], "D"),  # someone who doesn't buy every day
        (["2024-01-01 00:00:07", "2024-01-01 01:02:11", "2024-01-01 01:58:40", "2024-01-01 03:00:02"], "h"),
    ],
)
def test_the_dates_of_people_have_the_frequency_a_person_would_say(dates: list[str], freq: str) -> None:
    assert infer_frequency(pd.DatetimeIndex(dates)) == freq


def test_one_date_has_no_frequency() -> None:
    with pytest.raises(ValueError, match="two dates"):
        infer_frequency(pd.DatetimeIndex(["2024-01-01"]))


@pytest.mark.parametrize(
    ("freq", "rows"),
    [
        *[("15min", 96), ("h", 24), ("12h", 2), ("D", 7), ("2D", 4), ("B", 5), ("W", 52), ("W-MON", 52), ("2W", 26)],
        *[("SMS", 24), ("MS", 12), ("ME", 12), ("6MS", 2), ("QS", 4), ("QE-NOV", 4), ("YS", 1), ("YE", 1)],
        ("100YS", 1),
    ],
)
def test_a_season_is_the_day_week_or_year_around_a_step(freq: str, rows: int) -> None:
    assert season_length(freq) == rows


def test_only_steps_below_a_day_are_subdaily() -> None:
    assert [is_subdaily(freq) for freq in ("15min", "23h", "24h", "D", "B", "MS")] == [True, True, *[False] * 4]


@pytest.mark.parametrize("freq", ["junk", "", "H2O", "0D", "-1D"])
def test_a_frequency_that_is_none_is_named(freq: str) -> None:
    with pytest.raises(ValueError, match=repr(freq)):
        future_dates(pd.Timestamp("2024-01-01"), 3, freq)


def test_an_old_spelling_still_counts() -> None:
    assert season_length("d") == 7


@given(
    after=st.datetimes(min_value=pd.Timestamp("1950-01-01"), max_value=pd.Timestamp("2100-01-01")).map(pd.Timestamp),
    periods=st.integers(0, 60),
    freq=st.sampled_from([*USUAL, "2MS", "BME", "bh", "SMS"]),
)
def test_future_dates_are_as_many_as_asked_ascending_and_after(after: pd.Timestamp, periods: int, freq: str) -> None:
    dates = future_dates(after, periods, freq)
    assert len(dates) == periods
    assert dates.dtype == "datetime64[ns]"
    assert dates.is_monotonic_increasing
    assert dates.is_unique
    assert (dates > after).all()


@given(
    start=st.datetimes(min_value=pd.Timestamp("1950-01-01"), max_value=pd.Timestamp("2100-01-01")).map(pd.Timestamp),
    freq=st.sampled_from(USUAL),
)
def test_dates_from_start_on_or_after_the_start_and_future_dates_carry_them_on(start: pd.Timestamp, freq: str) -> None:
    dates = dates_from(start, 5, freq)
    assert dates[0] >= start
    assert future_dates(dates[1], 3, freq).equals(dates[2:])


@given(st.sampled_from(USUAL), st.integers(6, 40))
def test_what_follows_a_series_lies_on_the_grid_inferred_from_it(freq: str, rows: int) -> None:
    dates = regular(freq, 60)
    assert future_dates(dates[rows - 1], 10, infer_frequency(dates[:rows])).equals(dates[rows : rows + 10])


@pytest.mark.parametrize(("periods", "freq"), [(10**6, "D"), (1000, "YS"), (-5, "D"), (10, "9999999D"), (10**18, "s")])
def test_dates_beyond_the_calendar_are_a_value_error(periods: int, freq: str) -> None:
    with pytest.raises(ValueError, match="calendar"):
        dates_from(pd.Timestamp("2200-01-01"), periods, freq)


@pytest.mark.parametrize("freq", ["D", "MS", "W-WED", "h"])
def test_the_grid_tells_missing_dates_and_places(freq: str) -> None:
    dates = regular(freq, 10).delete([3, 4])
    assert off_the_grid(dates, freq) == (2, 0)
    assert list(grid_positions(dates, freq)) == [0, 1, 2, 5, 6, 7, 8, 9]


def test_dates_beside_the_grid_are_counted() -> None:
    dates = pd.DatetimeIndex(["2024-01-01", "2024-02-01", "2024-02-10", "2024-03-01"])
    assert off_the_grid(dates, "MS") == (0, 1)
    assert list(grid_positions(dates, "MS")) == [0, 1, 1, 2]
    assert off_the_grid(pd.DatetimeIndex(["2024-01-01", "2024-01-02 06:00", "2024-01-03"]), "D") == (1, 1)


def test_weekdays_are_daily_until_a_weekend_is_left_out() -> None:
    """From Monday to Friday nobody can tell "B" from "D"; the Monday after settles it."""
    weekdays = pd.date_range("2024-01-01", periods=6, freq="B")
    assert infer_frequency(weekdays[:5]) == "D"
    assert infer_frequency(weekdays) == "B"
