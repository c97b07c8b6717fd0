"""The gate decides from figures alone, and says why."""

from __future__ import annotations

import math

import pytest

from training.config import GateConfig
from training.gate import decide

GATE = GateConfig()


def test_the_first_version_is_promoted() -> None:
    decision = decide({"mase": 3.0}, None, GATE)
    assert decision.promote
    assert decision.reasons == ("There is no champion yet.",)


@pytest.mark.parametrize(("mase", "promote"), [(0.9, True), (1.0, True), (1.1, True), (1.101, False)])
def test_a_version_may_be_a_tenth_worse_than_the_champion(mase: float, promote: bool) -> None:
    decision = decide({"mase": mase}, {"mase": 1.0}, GATE)
    assert decision.promote is promote
    assert f"{mase:.3f}" in decision.reasons[0]
    assert "1.100" in decision.reasons[0]


def test_the_ratio_is_configurable() -> None:
    assert decide({"mase": 1.9}, {"mase": 1.0}, GateConfig(max_mase_ratio=2)).promote


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("champion", [None, {"mase": 1.0}])
def test_metrics_that_are_not_finite_hold_a_version_back(value: float, champion: dict[str, float] | None) -> None:
    decision = decide({"mase": 0.5, "bias": value}, champion, GATE)
    assert not decision.promote
    assert "bias" in decision.reasons[0]


@pytest.mark.parametrize("champion", [{}, {"mase": math.nan}, {"smape": 1.0}])
def test_a_champion_without_a_mase_is_no_hurdle(champion: dict[str, float]) -> None:
    assert decide({"mase": 9.0}, champion, GATE).promote


def test_a_version_that_was_never_tested_does_not_replace_one_that_was() -> None:
    assert not decide({}, {"mase": 1.0}, GATE).promote
    assert decide({}, {}, GATE).promote


def test_a_version_whose_mase_is_undefined_is_not_compared() -> None:
    decision = decide({"smape": 0.0}, {"mase": 1.0}, GATE)
    assert decision.promote
    assert "undefined" in decision.reasons[0]


def test_losing_to_seasonal_naive_is_a_warning_unless_it_is_a_rule() -> None:
    lax = decide({"mase": 1.2}, {"mase": 1.2}, GATE, {"mase": 1.0})
    strict = decide({"mase": 1.2}, {"mase": 1.2}, GateConfig(must_beat_baseline=True), {"mase": 1.0})
    assert lax.promote
    assert lax.reasons[1].startswith("Warning: It does not beat seasonal naive: MASE 1.200 against 1.000")
    assert not strict.promote
    assert not strict.reasons[1].startswith("Warning")


def test_beating_seasonal_naive_is_told() -> None:
    assert "beats" in decide({"mase": 0.8}, None, GATE, {"mase": 1.0}).reasons[1]


def test_a_rule_without_its_figure_holds_a_version_back() -> None:
    assert not decide({"smape": 1.0}, {}, GateConfig(must_beat_baseline=True)).promote
    assert not decide({"smape": 1.0}, {}, GateConfig(min_coverage=0.5)).promote


@pytest.mark.parametrize(("coverage", "promote"), [(0.5, True), (0.49, False)])
def test_coverage_must_reach_the_least_allowed(coverage: float, promote: bool) -> None:
    decision = decide({"mase": 1.0, "coverage": coverage}, {"mase": 1.0}, GateConfig(min_coverage=0.5))
    assert decision.promote is promote
    assert "50%" in decision.reasons[1]


def test_without_a_champion_a_lapse_is_told_and_does_not_hold_back() -> None:
    decision = decide({"mase": 2.0, "coverage": 0.1}, None, GateConfig(min_coverage=0.5, must_beat_baseline=True))
    assert decision.promote
    assert len(decision.reasons) == 3
