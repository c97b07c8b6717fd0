"""Put what became of a chunk's segments on record: gate, register, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from forecasting.errors import Fault
from registry.errors import BadSegment, NoChampion, RegistryError, UnknownSegment
from registry.log import JobLog
from registry.records import SegmentRecord
from registry.registry import Registry
from registry.unfinished import JOB_TAG
from training.config import JobConfig
from training.gate import Decision, decide
from training.ledger import SegmentReport
from training.segment import Failed, Outcome, Trained


def settle(outcomes: Sequence[Outcome], config: JobConfig, registry: Registry, log: JobLog) -> list[SegmentReport]:
    """Put a chunk's outcomes on record; what the registry refuses is that segment's failure."""
    trained = [outcome for outcome in outcomes if isinstance(outcome, Trained)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    reports: list[SegmentReport] = []
    try:
        decisions = {one.segment: _decide(one, config, registry) for one in trained}
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


def reported(outcome: Outcome) -> SegmentReport:
    """What is told of a segment that is not registered."""
    return _failure(outcome) if isinstance(outcome, Failed) else _success(outcome)


def _decide(trained: Trained, config: JobConfig, registry: Registry) -> Decision:
    """The gate's verdict on a version beside the champion that it would replace. Raises RegistryError."""
    try:
        champion = _champion_metrics(registry, trained.segment)
    except BadSegment:  # no registry has it; the writer says so
        champion = None
    return decide(trained.backtest.metrics, champion, config.gate, trained.backtest.baseline)


def _champion_metrics(registry: Registry, segment: str) -> Mapping[str, float] | None:
    try:
        return registry.champion(segment).metrics
    except (UnknownSegment, NoChampion):
        return None


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
        "forecast.solver": trained.solver,
        "forecast.log_posterior": "" if trained.log_posterior is None else repr(trained.log_posterior),
        "forecast.interval_width": str(config.model.interval_width),
        "forecast.dataset_digest": trained.digest,
        "forecast.rows": str(trained.rows),
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
    return "promote" if decision.promote else "hold"
