"""The gate decides from figures alone, and says why."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from training.config import GateConfig
from training.gate import Basis, Candidate, Decision, Rival, decide

GATE = GateConfig()


def judged(
    metrics: dict[str, float],
    champion: dict[str, float] | None,
    config: GateConfig = GATE,
    *,
    baseline: dict[str, float] | None = None,
    reach: float = 0.0,
    basis: Basis = "same cutoffs",
    unknown: str = "",
) -> Decision:
    rival = None if champion is None else Rival(3, champion, basis, unknown)
    return decide(Candidate(metrics, baseline or {}, reach), rival, config)


def test_the_first_version_is_promoted() -> None:
    decision = judged({"mase": 3.0}, None)
    assert decision.promote
    assert decision.reasons == ("There is no champion yet.",)


@pytest.mark.parametrize(("mase", "promote"), [(0.9, True), (1.0, True), (1.1, True), (1.101, False)])
def test_a_version_may_be_a_tenth_worse_than_the_champions_configuration(mase: float, promote: bool) -> None:
    decision = judged({"mase": mase}, {"mase": 1.0})
    assert decision.promote is promote
    [reason] = decision.reasons
    assert "the configuration of champion 3 on the same cutoffs" in reason
    assert f"MASE {mase:.3f} against 1.000, at most 1.100 allowed" in reason


@pytest.mark.parametrize(("ratio", "promote"), [(2.0, True), (1.0, False)])
def test_the_ratio_is_configurable(ratio: float, promote: bool) -> None:
    assert judged({"mase": 1.001}, {"mase": 1.0}, GateConfig(max_mase_ratio=ratio)).promote is promote


def test_the_same_configuration_is_compared_with_itself_and_says_so() -> None:
    decision = judged({"mase": 9.0}, {"mase": 9.0}, GateConfig(max_mase_ratio=0.5), basis="same configuration")
    assert decision.promote
    assert "the same configuration" in decision.reasons[0]


def test_the_same_configuration_needs_no_backtest() -> None:
    assert judged({}, {}, basis="same configuration").promote


@pytest.mark.parametrize(("mase", "promote"), [(1.0, True), (1.2, False)])
def test_a_recorded_mase_stands_in_for_a_configuration_that_cannot_be_had(mase: float, promote: bool) -> None:
    decision = judged({"mase": mase}, {"mase": 1.0}, basis="recorded", unknown="it needs the regressor 'price'")
    assert decision.promote is promote
    assert "recorded of its own backtest" in decision.reasons[0]
    assert "(it needs the regressor 'price')" in decision.reasons[0]


@pytest.mark.parametrize("basis", ["recorded", "same cutoffs"])
@pytest.mark.parametrize("champion", [{}, {"mase": math.nan}, {"mase": math.inf}, {"smape": 1.0}])
def test_a_champion_without_a_mase_is_no_hurdle_and_a_warning(champion: dict[str, float], basis: Basis) -> None:
    decision = judged({"mase": 9.0}, champion, basis=basis, unknown="it is no Prophet")
    assert decision.promote
    assert decision.reasons[0].startswith("Warning: It is not compared")
    assert "it is no Prophet" in decision.reasons[0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("champion", [None, {"mase": 1.0}])
def test_metrics_that_are_not_finite_hold_a_version_back(value: float, champion: dict[str, float] | None) -> None:
    decision = judged({"mase": 0.5, "bias": value}, champion)
    assert not decision.promote
    assert "bias" in decision.reasons[0]


@pytest.mark.parametrize("champion", [None, {"mase": 1.0}])
@pytest.mark.parametrize(
    ("reach", "promote", "told"), [(5.0, True, ""), (5.1, False, "by 5.1 times"), (math.inf, False, "not finite")]
)
def test_a_forecast_that_leaves_the_history_far_behind_holds_a_version_back(
    reach: float, promote: bool, told: str, champion: dict[str, float] | None
) -> None:
    """Also where there is no champion: nothing is better than nonsense."""
    decision = judged({"mase": 0.5}, champion, reach=reach)
    assert decision.promote is promote
    assert told in decision.reasons[0]


def test_the_bound_on_forecasts_is_configurable() -> None:
    assert judged({"mase": 0.5}, None, GateConfig(max_reach=None), reach=1e9).promote
    assert not judged({"mase": 0.5}, None, GateConfig(max_reach=None), reach=math.inf).promote
    assert not judged({"mase": 0.5}, None, GateConfig(max_reach=0.5), reach=0.6).promote


def test_a_reach_that_is_not_known_is_no_hurdle() -> None:
    assert judged({"mase": 0.5}, None, reach=math.nan).promote


def test_a_version_that_was_never_tested_does_not_replace_one_that_was() -> None:
    assert not judged({}, {"mase": 1.0}, basis="recorded").promote
    assert judged({}, {}, basis="recorded").promote


def test_a_version_whose_mase_is_undefined_is_not_compared() -> None:
    decision = judged({"smape": 0.0}, {"mase": 1.0})
    assert decision.promote
    assert "undefined" in decision.reasons[0]


def test_losing_to_seasonal_naive_is_a_warning_unless_it_is_a_rule() -> None:
    lax = judged({"mase": 1.2}, {"mase": 1.2}, baseline={"mase": 1.0})
    strict = judged({"mase": 1.2}, {"mase": 1.2}, GateConfig(must_beat_baseline=True), baseline={"mase": 1.0})
    assert lax.promote
    assert lax.reasons[1].startswith("Warning: It does not beat seasonal naive: MASE 1.200 against 1.000")
    assert not strict.promote
    assert not strict.reasons[1].startswith("Warning")


def test_beating_seasonal_naive_is_told() -> None:
    assert "beats" in judged({"mase": 0.8}, None, baseline={"mase": 1.0}).reasons[1]


def test_a_rule_without_its_figure_holds_a_version_back() -> None:
    assert not judged({"smape": 1.0}, {}, GateConfig(must_beat_baseline=True)).promote


@pytest.mark.parametrize(
    ("coverage", "promote"), [(0.49, False), (0.5, True), (0.95, True), (0.96, False), (0.0, False), (1.0, False)]
)
def test_coverage_must_be_within_its_limits(coverage: float, promote: bool) -> None:
    limits = GateConfig(min_coverage=0.5, max_coverage=0.95)
    decision = judged({"mase": 1.0, "coverage": coverage}, {"mase": 1.0, "coverage": 0.8}, limits)
    assert decision.promote is promote
    assert promote or f"coverage of {coverage:.0%} is" in decision.reasons[1]


@pytest.mark.parametrize(("own", "theirs", "promote"), [(0.3, 0.3, True), (0.3, 0.2, True), (0.3, 0.31, False)])
def test_what_the_champions_configuration_does_no_better_is_a_warning(own: float, theirs: float, promote: bool) -> None:
    """Else a segment would keep an old model for ever because its intervals are too narrow, which they stay."""
    decision = judged({"mase": 1.0, "coverage": own}, {"mase": 1.0, "coverage": theirs}, GateConfig(min_coverage=0.5))
    assert decision.promote is promote
    assert decision.reasons[1].startswith("Warning") is promote


def test_a_recorded_coverage_is_of_other_cutoffs_and_excuses_nothing() -> None:
    decision = judged(
        {"mase": 1.0, "coverage": 0.3}, {"mase": 1.0, "coverage": 0.2}, GateConfig(min_coverage=0.5), basis="recorded"
    )
    assert not decision.promote


def test_without_a_backtest_there_is_no_coverage_to_judge() -> None:
    assert judged({}, None, GateConfig(min_coverage=0.5)).reasons == ("There is no champion yet.",)


def test_without_a_champion_a_lapse_is_told_and_does_not_hold_back() -> None:
    strict = GateConfig(min_coverage=0.5, must_beat_baseline=True)
    decision = judged({"mase": 2.0, "coverage": 0.1}, None, strict)
    assert decision.promote
    assert len(decision.reasons) == 3


def test_limits_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_coverage is above max_coverage"):
        GateConfig(min_coverage=0.9, max_coverage=0.5)
