"""Whether a new version may become champion: a pure function of figures, with its reasons.

Why the limits are where they are: docs/decisions/0015-gate.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from training.config import GateConfig

Basis = Literal["same configuration", "same cutoffs", "recorded"]


@dataclass(frozen=True)
class Decision:
    """promote: whether the version may become champion. reasons: sentences, warnings included."""

    promote: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """What a new version shows: its metrics by name (mase, coverage, ...), empty where nothing was measured.

    baseline: those of seasonal naive. reach: how far its forecast leaves the history's range (`sanity.reach`).
    """

    metrics: Mapping[str, float]
    baseline: Mapping[str, float] = field(default_factory=dict)
    reach: float = 0.0


@dataclass(frozen=True)
class Rival:
    """The champion that a version would replace, and the metrics to compare with.

    basis: whose metrics they are: those of the version itself, because the champion was made by the same configuration;
    of the champion's configuration on the same cutoffs; or what the champion recorded of its own backtest, with the
    reason why no better is known in unknown.
    """

    version: int
    metrics: Mapping[str, float]
    basis: Basis = "same cutoffs"
    unknown: str = ""


def decide(candidate: Candidate, champion: Rival | None, config: GateConfig) -> Decision:
    """Hold a version back, or let it pass.

    champion: None when the segment has none. What is not finite or not sane always holds a version back. A segment
    without a champion is not held back by anything else: any sound model is better than no answer, and the lapses are
    told as warnings.
    """
    unsound = tuple(_unsound(candidate, config))
    if unsound:
        return Decision(False, unsound)
    verdicts = [
        _against_champion(candidate.metrics, champion, config),
        *_against_limits(candidate.metrics, champion, config),
        *_against_baseline(candidate, config),
    ]
    passes = champion is None or all(verdict.passes for verdict in verdicts)
    return Decision(passes, tuple(verdict.reason for verdict in verdicts))


@dataclass(frozen=True)
class _Verdict:
    passes: bool
    reason: str


def _unsound(candidate: Candidate, config: GateConfig) -> Iterator[str]:
    broken = [name for name, value in candidate.metrics.items() if not math.isfinite(value)]
    if broken:
        yield f"The backtest's {', '.join(broken)} is not finite."
    if math.isinf(candidate.reach):
        yield "The forecast of the next rows is not finite."
    elif config.max_reach is not None and candidate.reach > config.max_reach:
        yield (
            f"The forecast of the next rows leaves the history's range by {candidate.reach:.1f} times that range, "
            f"at most {config.max_reach:g} allowed."
        )


def _against_champion(metrics: Mapping[str, float], champion: Rival | None, config: GateConfig) -> _Verdict:
    if champion is None:
        return _Verdict(True, "There is no champion yet.")
    if champion.basis == "same configuration":
        return _Verdict(
            True, f"Champion {champion.version} came about by the same configuration, which is no worse than itself."
        )
    whose = (
        f"the configuration of champion {champion.version} on the same cutoffs"
        if champion.basis == "same cutoffs"
        else f"what champion {champion.version} recorded of its own backtest, for want of its configuration"
    )
    why = f" ({champion.unknown})" if champion.unknown else ""
    theirs, own = champion.metrics.get("mase", math.nan), metrics.get("mase")
    if not math.isfinite(theirs):
        return _Verdict(True, f"Warning: It is not compared with {whose}{why}: no finite MASE is known of that.")
    if not metrics:
        return _Verdict(False, f"There was no backtest to compare with {whose}{why}: MASE {theirs:.3f}.")
    if own is None:
        return _Verdict(True, f"MASE is undefined here, so it is not compared with {whose}{why}: {theirs:.3f}.")
    most = theirs * config.max_mase_ratio
    verb = "holds up against" if own <= most else "is worse than"
    figures = f"MASE {own:.3f} against {theirs:.3f}, at most {most:.3f} allowed"
    return _Verdict(own <= most, f"The backtest {verb} {whose}{why}: {figures}.")


def _against_limits(metrics: Mapping[str, float], champion: Rival | None, config: GateConfig) -> Iterator[_Verdict]:
    """Coverage outside its limits, unless the champion's configuration is as far outside: nothing is lost by that."""
    own = metrics.get("coverage")
    if own is None:
        return
    theirs = None if champion is None or champion.basis == "recorded" else champion.metrics.get("coverage")
    if config.min_coverage is not None and own < config.min_coverage:
        lapse = f"The interval's coverage of {own:.0%} is below the least allowed {config.min_coverage:.0%}"
        yield _excused(lapse, theirs, theirs is not None and theirs <= own)
    if config.max_coverage is not None and own > config.max_coverage:
        lapse = f"The interval's coverage of {own:.0%} is above the most allowed {config.max_coverage:.0%}"
        yield _excused(lapse, theirs, theirs is not None and theirs >= own)


def _excused(lapse: str, theirs: float | None, excused: bool) -> _Verdict:
    if not excused:
        return _Verdict(False, f"{lapse}.")
    return _Verdict(True, f"Warning: {lapse}, but the champion's configuration does no better with {theirs:.0%}.")


def _against_baseline(candidate: Candidate, config: GateConfig) -> Iterator[_Verdict]:
    """Losing to seasonal naive is a warning unless the configuration makes it a rule."""
    own, naive = candidate.metrics.get("mase"), candidate.baseline.get("mase")
    if own is None or naive is None:
        if config.must_beat_baseline:
            yield _Verdict(False, "There is no MASE to compare with seasonal naive's, which must be beaten.")
    elif own < naive:
        yield _Verdict(True, f"It beats seasonal naive: MASE {own:.3f} against {naive:.3f}.")
    else:
        warning = "" if config.must_beat_baseline else "Warning: "
        told = f"{warning}It does not beat seasonal naive: MASE {own:.3f} against {naive:.3f}."
        yield _Verdict(not config.must_beat_baseline, told)
