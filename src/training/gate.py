"""Whether a new version may become champion: a pure function of metrics, with its reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from training.config import GateConfig


@dataclass(frozen=True)
class Decision:
    """promote: whether the version may become champion. reasons: sentences, warnings included."""

    promote: bool
    reasons: tuple[str, ...]


def decide(
    candidate: Mapping[str, float],
    champion: Mapping[str, float] | None,
    config: GateConfig,
    baseline: Mapping[str, float] | None = None,
) -> Decision:
    """Hold a version back, or let it pass.

    candidate, champion, baseline: metrics by name (mase, coverage, ...), empty where nothing was measured;
    champion is None when the segment has none, baseline is seasonal naive's. Metrics that are not finite always
    hold a version back. A segment without a champion is not held back by anything else: any sound model
    is better than no answer, and the lapses are told as warnings.
    """
    broken = [name for name, value in candidate.items() if not math.isfinite(value)]
    if broken:
        return Decision(False, (f"The backtest's {', '.join(broken)} is not finite.",))
    verdicts = [
        _against_champion(candidate, champion, config),
        _against_coverage(candidate, config),
        _against_baseline(candidate, baseline or {}, config),
    ]
    told = [verdict for verdict in verdicts if verdict is not None]
    passes = champion is None or all(verdict.passes for verdict in told)
    return Decision(passes, tuple(verdict.reason for verdict in told))


@dataclass(frozen=True)
class _Verdict:
    passes: bool
    reason: str


def _against_champion(
    candidate: Mapping[str, float], champion: Mapping[str, float] | None, config: GateConfig
) -> _Verdict:
    if champion is None:
        return _Verdict(True, "There is no champion yet.")
    recorded, own = champion.get("mase", math.nan), candidate.get("mase")
    if not math.isfinite(recorded):
        return _Verdict(True, "The champion has no recorded MASE to compare with.")
    if not candidate:
        return _Verdict(False, f"There was no backtest, and the champion has a MASE of {recorded:.3f}.")
    if own is None:
        return _Verdict(True, f"MASE is undefined here, so it is not compared with the champion's {recorded:.3f}.")
    most = recorded * config.max_mase_ratio
    figures = f"MASE {own:.3f}, champion's {recorded:.3f}, at most {most:.3f} allowed"
    if own > most:
        return _Verdict(False, f"The backtest is worse than the champion's: {figures}.")
    return _Verdict(True, f"The backtest holds up against the champion's: {figures}.")


def _against_coverage(candidate: Mapping[str, float], config: GateConfig) -> _Verdict | None:
    if config.min_coverage is None:
        return None
    own = candidate.get("coverage")
    if own is None:
        return _Verdict(False, f"Coverage was not measured, and at least {config.min_coverage:.0%} is asked for.")
    passes = own >= config.min_coverage
    word = "reaches" if passes else "is below"
    return _Verdict(passes, f"The interval's coverage of {own:.0%} {word} the least allowed {config.min_coverage:.0%}.")


def _against_baseline(
    candidate: Mapping[str, float], baseline: Mapping[str, float], config: GateConfig
) -> _Verdict | None:
    """Losing to seasonal naive is a warning unless the configuration makes it a rule."""
    own, naive = candidate.get("mase"), baseline.get("mase")
    if own is None or naive is None:
        if not config.must_beat_baseline:
            return None
        return _Verdict(False, "There is no MASE to compare with seasonal naive's, which must be beaten.")
    if own < naive:
        return _Verdict(True, f"It beats seasonal naive: MASE {own:.3f} against {naive:.3f}.")
    warning = "" if config.must_beat_baseline else "Warning: "
    return _Verdict(
        not config.must_beat_baseline, f"{warning}It does not beat seasonal naive: MASE {own:.3f} against {naive:.3f}."
    )
