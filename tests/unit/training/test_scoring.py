"""Which forecast counts for a date, and what comes of it, by figures computed by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from forecasting.history import History
from registry.forecast_log import LoggedForecast
from registry.versions import ModelVersion
from training.drift import DriftRules
from training.scoring import ScoreRules, SegmentScore, choose_points, last_served, score_segment

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
RULES = ScoreRules(SINCE, drift=DriftRules(min_points=3))


def times(*texts: str) -> tuple[tuple[np.datetime64, np.datetime64], ...]:
    """When a forecast was served; "first/last" for an hour in which it was served more than once."""
    pairs = [(text.split("/")[0], text.split("/")[-1]) for text in texts]
    return tuple((np.datetime64(first, "ns"), np.datetime64(last, "ns")) for first, last in pairs)


def logged(number: int, first: str, yhat: list[float], *served: str, through: str = "2026-01-01") -> LoggedForecast:
    """A daily forecast by version `number`, its interval one to both sides."""
    values = np.array(yhat)
    return LoggedForecast(
        id=UUID(int=number),
        segment="a",
        version=number,
        run_id=f"run{number}",
        trained_through=np.datetime64(through, "ns"),
        interval_width=0.8,
        ds=pd.date_range(first, periods=len(yhat)).to_numpy(dtype="M8[ns]"),
        yhat=values,
        lower=values - 1,
        upper=values + 1,
        served=times(*served),
    )


def actuals(first: str, y: list[float], freq: str = "D") -> History:
    return History(pd.DataFrame({"ds": pd.date_range(first, periods=len(y), freq=freq), "y": y}), freq)


def champion(number: int = 1, **tags: str) -> ModelVersion:
    return ModelVersion("a", "forecast.a", number, f"run{number}", tags, SINCE)


def test_of_several_forecasts_of_a_date_the_one_counts_that_was_served_last_before_it_passed() -> None:
    """Not the newest version: after a rollback the older one is what people are told again."""
    old = logged(1, "2026-01-02", [10, 11, 12, 13], "2026-01-01T09:00", "2026-01-04T10:00")
    new = logged(2, "2026-01-03", [21, 22, 23], "2026-01-03T08:00", through="2026-01-02")
    points = choose_points(actuals("2026-01-02", [1, 2, 3, 4]), [new, old], RULES)
    assert points.actual.tolist() == [1, 2, 3, 4]
    assert points.yhat.tolist() == [10, 21, 12, 13]  # the 3rd's by the new one, the 4th's by the old one once more
    assert points.forecasts.tolist() == [1, 0, 1, 1]


def test_a_day_may_be_forecast_until_it_is_over() -> None:
    """Its value is known at its end; a forecast that was served first after that counts only where late ones do."""
    for served, found in (("2026-01-02T23:59", [10, 11]), ("2026-01-03T00:00", [11])):
        forecast = logged(1, "2026-01-02", [10, 11], served)
        assert choose_points(actuals("2026-01-02", [1, 2]), [forecast], RULES).yhat.tolist() == found
        late = choose_points(actuals("2026-01-02", [1, 2]), [forecast], replace(RULES, late=True))
        assert late.yhat.tolist() == [10, 11]


def test_a_late_forecast_never_goes_before_one_in_time() -> None:
    in_time = logged(1, "2026-01-02", [10], "2026-01-02T01:00")
    late = logged(2, "2026-01-02", [20], "2026-01-09T01:00")
    points = choose_points(actuals("2026-01-02", [1]), [late, in_time], replace(RULES, late=True))
    assert points.yhat.tolist() == [10]


def test_months_are_over_when_the_next_begins() -> None:
    forecast = replace(logged(1, "2026-01-01", [5], "2026-01-31T12:00"), trained_through=np.datetime64("2025-12-01"))
    assert len(choose_points(actuals("2026-01-01", [1], "MS"), [forecast], RULES)) == 1


def test_rows_of_the_history_and_before_the_time_asked_for_are_no_points() -> None:
    """A start in the past gives rows that the model has seen."""
    seen = logged(1, "2026-01-01", [1, 2, 3, 4], "2026-01-01T00:00", through="2026-01-02")
    assert choose_points(actuals("2026-01-01", [9] * 4), [seen], RULES).yhat.tolist() == [3, 4]
    later = replace(RULES, since=datetime(2026, 1, 4, tzinfo=UTC))
    assert choose_points(actuals("2026-01-01", [9] * 4), [seen], later).yhat.tolist() == [4]


def test_every_forecast_of_a_date_counts_when_asked_for() -> None:
    both = [logged(number, "2026-01-02", [number], "2026-01-01T09:00") for number in (1, 2)]
    assert choose_points(actuals("2026-01-02", [1]), both, RULES).yhat.size == 1
    assert choose_points(actuals("2026-01-02", [1]), both, replace(RULES, every=True)).yhat.tolist() == [1, 2]


def test_of_two_served_at_one_moment_the_better_informed_counts() -> None:
    old = logged(1, "2026-01-03", [10], "2026-01-02T09:00", through="2026-01-01")
    new = logged(2, "2026-01-03", [20], "2026-01-02T09:00", through="2026-01-02")
    for forecasts in ([old, new], [new, old]):
        assert choose_points(actuals("2026-01-03", [1]), forecasts, RULES).yhat.tolist() == [20]


def test_the_last_serving_is_known_to_the_hour() -> None:
    """Of an hour whose last serving came too late only the first is known to have been in time."""
    served = times("2026-01-01T09:05/2026-01-01T09:50", "2026-01-01T11:00")
    over = np.array(["2026-01-01T09:05", "2026-01-01T09:30", "2026-01-01T10:00", "2026-01-02"], dtype="M8[ns]")
    told = last_served(served, over, late=False).astype("M8[m]").astype(str).tolist()
    assert told == ["NaT", "2026-01-01T09:05", "2026-01-01T09:50", "2026-01-01T11:00"]


def test_measures_are_what_a_pencil_gives() -> None:
    """Errors 1, -2, 3, 0 in units of 2; two of four inside; the champion has the last two alone."""
    old = logged(1, "2026-01-02", [11, 18], "2026-01-01T09:00")
    new = logged(2, "2026-01-04", [33, 40], "2026-01-03T09:00", through="2026-01-03")
    tags = {"forecast.naive_error": "2.0", "metric.mase": "0.5", "metric.coverage": "0.75"}
    score = score_segment("a", actuals("2026-01-02", [10, 20, 30, 40]), [old, new], champion(2, **tags), RULES)
    assert (score.points, score.mase, score.bias, score.wape) == (4, 0.75, 0.5, 0.06)
    assert score.smape == pytest.approx((2 / 21 + 4 / 38 + 6 / 63 + 0) / 4)
    assert (score.coverage, score.nominal, score.mean_size) == (0.5, 0.8, 25)
    assert (score.naive_error, score.naive_error_of) == (2.0, "the history of version 2")
    assert (score.champion, score.champion_points) == (2, 2)
    assert (score.champion_mase, score.champion_coverage) == (0.75, 0.5)
    assert (score.backtest_mase, score.backtest_coverage, score.ratio) == (0.5, 0.75, 1.5)
    assert (score.status, score.reasons) == ("unjudged", ("It takes 3 points to judge, and there are 2.",))


def test_the_unit_of_a_version_that_says_nothing_is_that_of_the_actuals_it_could_have_seen() -> None:
    """A week of 1 and then of 3: what came a week later was 2 away, whatever came after the training."""
    table = actuals("2026-01-01", [1.0] * 7 + [3.0] * 7 + [100.0] * 3)
    forecast = logged(1, "2026-01-15", [100, 96, 100], "2026-01-14T09:00", through="2026-01-14")
    for tags in ({}, {"forecast.naive_error": "nan"}, {"forecast.naive_error": "what"}):
        score = score_segment("a", table, [forecast], champion(**tags), RULES)
        assert (score.naive_error, score.naive_error_of) == (2.0, "the actuals through 2026-01-14T00:00:00")
        assert score.mase == pytest.approx(4 / 3 / 2)


def test_a_mase_without_a_unit_is_undefined_and_the_rest_is_not() -> None:
    forecast = logged(1, "2026-01-02", [1, 2, 3], "2026-01-01T09:00")
    score = score_segment("a", actuals("2026-01-02", [1.5, 2.5, 3.5]), [forecast], champion(), RULES)
    assert np.isnan([score.mase, score.champion_mase, score.naive_error]).all()
    assert (score.bias, score.coverage, score.status) == (-0.5, 1.0, "steady")


@pytest.mark.parametrize(
    ("forecasts", "serving", "reason"),
    [
        ([logged(1, "2026-02-02", [1], "2026-01-01")], champion(), "No date"),
        ([], champion(), "No date"),
        ([logged(1, "2026-01-02", [1], "2026-01-01")], None, "no champion"),
        ([logged(1, "2026-01-02", [1], "2026-01-01")], champion(2), "Nothing that champion 2 forecast"),
        ([replace(logged(1, "2026-01-02", [1], "2026-01-01"), run_id="other")], champion(1), "Nothing that champion 1"),
    ],
)
def test_what_cannot_be_judged_says_why(
    forecasts: list[LoggedForecast], serving: ModelVersion | None, reason: str
) -> None:
    """Among it a version of another registry that has the champion's number."""
    score: SegmentScore = score_segment("a", actuals("2026-01-02", [1, 2]), forecasts, serving, RULES)
    assert score.status == "unjudged"
    assert reason in score.reasons[0]
