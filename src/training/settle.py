"""Put what became of a chunk's segments on record: gate, register, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from forecasting.errors import Fault
from registry.errors import RegistryError
from registry.log import JobLog
from registry.records import SegmentRecord
from registry.unfinished import JOB_TAG
from training.champions import CONFIGURATION_TAG, Champions, Incumbent, configuration_tag
from training.config import JobConfig
from training.gate import Candidate, Decision, Rival, decide
from training.ledger import SegmentReport
from training.segment import Failed, Outcome, Trained

NAIVE_ERROR_TAG = "forecast.naive_error"  # on a version: what repeating the last season costs in its history
PROMOTE, HOLD = "promote", "hold"  # the gate's decisions in words


def settle(outcomes: Sequence[Outcome], config: JobConfig, champions: Champions, log: JobLog) -> list[SegmentReport]:
    """Put a chunk's outcomes on record; what the registry refuses is that segment's failure."""
    trained = [outcome for outcome in outcomes if isinstance(outcome, Trained)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    reports: list[SegmentReport] = []
    try:
        decisions = _decisions(outcomes, config, champions)
        written = log.writer.write([_record(one, decisions[one.segment], config, log.run_id) for one in trained])
    except RegistryError as error:
        decisions, written = {}, [error] * len(trained)
    for one, version in zip(trained, written, strict=True):
        if isinstance(version, RegistryError):
            failed.append(Failed(one.segment, (Fault("registration_failed", str(version)),)))
        else:
            reports.append(_success(one, version.version, decisions[one.segment]))
    with suppress(RegistryError):  # the report tells of the failures all the same
        log.writer.write_failures({one.segment: " ".join(fault.message for fault in one.faults) for one in failed})
    return [*reports, *map(_failure, failed)]


def foresee(outcomes: Sequence[Outcome], config: JobConfig, champions: Champions) -> list[SegmentReport]:
    """What would become of a chunk's outcomes if they were put on record. Raises RegistryError."""
    decisions = _decisions(outcomes, config, champions)
    return [
        _foreseen(_success(one, None, decisions[one.segment]), config) if isinstance(one, Trained) else _failure(one)
        for one in outcomes
    ]


def _foreseen(report: SegmentReport, config: JobConfig) -> SegmentReport:
    if report.decision == PROMOTE and not config.promote:
        off = "Promotion is switched off."
        return replace(report, status="held", decision=f"would {HOLD}", reasons=(*report.reasons, off))
    return replace(report, decision=f"would {report.decision}")


def reported(outcome: Outcome) -> SegmentReport:
    """What is told of a segment that is not registered."""
    return _failure(outcome) if isinstance(outcome, Failed) else _success(outcome)


def _decisions(outcomes: Sequence[Outcome], config: JobConfig, champions: Champions) -> dict[str, Decision]:
    """What the gate says of every segment that was trained. Raises RegistryError."""
    serving = champions.take([one.segment for one in outcomes])
    return {one.segment: _decide(one, serving[one.segment], config) for one in outcomes if isinstance(one, Trained)}


def _decide(one: Trained, champion: Incumbent | None, config: JobConfig) -> Decision:
    """The gate's verdict on a version beside the champion that it would replace."""
    candidate = Candidate(one.backtest.metrics, one.backtest.baseline, one.reach)
    return decide(candidate, None if champion is None else _rival(one, champion), config.gate)


def _rival(one: Trained, champion: Incumbent) -> Rival:
    """What is known of a champion: the best of how its configuration does here, and what its version recorded."""
    if champion.configuration == one.configuration:
        return Rival(champion.version, one.backtest.metrics, "same configuration")
    if one.champion:
        return Rival(champion.version, one.champion)
    unknown = champion.unknown or "it was not backtested here"
    return Rival(champion.version, champion.metrics, "recorded", unknown)


def _record(trained: Trained, decision: Decision, config: JobConfig, job: str) -> SegmentRecord:
    baseline = {f"baseline_{name}": value for name, value in trained.backtest.baseline.items()}
    stock = {f"stock_{name}": value for name, value in trained.stock.items()}
    measured = {**trained.backtest.metrics, **baseline, **stock}
    return SegmentRecord(
        segment=trained.segment,
        model_json=trained.model_json,
        inputs=trained.inputs,
        params={name: str(value) for name, value in config.model.model_dump(mode="json").items()},
        metrics={f"backtest.{name}": value for name, value in measured.items()},
        tags=_tags(trained, config, measured, decision) | {JOB_TAG: job},
        promote=decision.promote and config.promote,
        reason=" ".join(decision.reasons),
    )


def _tags(trained: Trained, config: JobConfig, measured: Mapping[str, float], decision: Decision) -> dict[str, str]:
    return {
        "forecast.freq": trained.freq,
        "forecast.trained_through": trained.trained_through.isoformat(),
        "forecast.recipe": trained.recipe,
        CONFIGURATION_TAG: configuration_tag(trained.configuration, trained.freq),
        "forecast.solver": trained.solver,
        "forecast.log_posterior": "" if trained.log_posterior is None else repr(trained.log_posterior),
        "forecast.interval_width": str(config.model.interval_width),
        "forecast.dataset_digest": trained.digest,
        "forecast.rows": str(trained.rows),
        NAIVE_ERROR_TAG: repr(trained.naive_error),
        "gate.decision": _word(decision),
        "gate.reasons": " ".join(decision.reasons),
        **{f"metric.{name}": repr(value) for name, value in measured.items()},
    }


def _success(trained: Trained, version: int | None = None, decision: Decision | None = None) -> SegmentReport:
    return SegmentReport(
        segment=trained.segment,
        status="trained" if decision is None or decision.promote else "held",
        version=version,
        freq=trained.freq,
        rows=trained.rows,
        metrics=trained.backtest.metrics,
        baseline=trained.backtest.baseline,
        stock=trained.stock,
        recipe=trained.recipe,
        decision=None if decision is None else _word(decision),
        reasons=() if decision is None else decision.reasons,
        notes=trained.notes,
    )


def _failure(failed: Failed) -> SegmentReport:
    return SegmentReport(failed.segment, "failed", faults=failed.faults)


def _word(decision: Decision) -> str:
    return PROMOTE if decision.promote else HOLD
