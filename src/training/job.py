"""A training job: read, train every segment on an engine, register, gate, promote, report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import datetime

from forecasting.errors import Fault
from registry.errors import BadSegment, NoChampion, RegistryError, UnknownSegment
from registry.log import JobLog
from registry.records import SegmentRecord
from registry.registry import Registry
from registry.unfinished import JOB_TAG
from training.config import JobConfig
from training.engines import engine_of
from training.gate import Decision, decide
from training.progress import Advance, Silent
from training.report import JobReport, SegmentReport
from training.retrain import fresh_segments
from training.segment import Failed, Outcome, Trained
from training.spool import History, Keyless, open_history

JOB_NAME = "train"
SEGMENTS_FOUND, STALE_BEFORE = "segments_found", "stale_before"  # params of a job's run beside its configuration
_LONGEST_PARAM = 5000  # characters of a query that MLflow takes


def run_job(
    config: JobConfig,
    registry: Registry,
    progress: Advance | None = None,
    begun: Callable[[str], None] | None = None,
    stale_before: datetime | None = None,
) -> JobReport:
    """Train, register and gate every segment of the source; one segment's failure is its own.

    Chunk after chunk: what was trained is registered before all of it is read. begun: is told the job's run, by which
    a job that was cut short is resumed. stale_before: only segments whose champion has not seen that time, or that
    have none. Raises SourceError when there is nothing to train on, RegistryError when the registry cannot be written
    to at the start. With config.dry_run the registry is left alone.
    """
    started = time.monotonic()
    fresh = frozenset[str]() if stale_before is None else fresh_segments(registry, stale_before)
    if config.dry_run:
        return backtest_only(config, progress, fresh)
    engine_of(config)  # whose package may be missing: told before a run is opened
    with open_source(config, fresh) as history:
        if fresh and not history.segments:
            return _report([], started, None, ("There is nothing to train: every champion is recent enough.",))
        log = JobLog(registry, JOB_NAME, job_params(config, history.segments, stale_before))
        if begun is not None:
            begun(log.run_id)
        return carry_out(config, registry, history, log, progress, started)


def carry_out(
    config: JobConfig,
    registry: Registry,
    history: History,
    log: JobLog,
    progress: Advance | None,
    started: float,
    done: Collection[SegmentReport] = (),
) -> JobReport:
    """Train and register all of a history for a job whose run is open.

    started: on the monotonic clock. done: what the job has done before it was cut short.
    """
    reports, notes, progress = list(done), list[str](), progress or Silent()
    progress.start(history.segments)
    try:
        with log:
            train_all = engine_of(config)
            for outcomes in train_all(history.chunks(_chunk_size(config, history)), config):
                reports += _told(_settle(outcomes, config, registry, log), progress)
            reports += _keyless(history.keyless, config)
            so_far = _report(reports, started, log.run_id)
            log.log_summary(so_far.to_dict(), _job_metrics(so_far))
    except RegistryError as error:  # the segments' own are settled; the job's run could not be finished
        notes.append(f"The job's own run in the registry is incomplete: {error}")
    return _report(reports, started, log.run_id, tuple(notes))


def backtest_only(
    config: JobConfig, progress: Advance | None = None, left_out: Collection[str] = frozenset()
) -> JobReport:
    """Train and backtest every segment of the source but those left out; register nothing. Raises SourceError."""
    started, progress, train_all = time.monotonic(), progress or Silent(), engine_of(config)
    reports: list[SegmentReport] = []
    with open_source(config, left_out) as history:
        progress.start(history.segments)
        for outcomes in train_all(history.chunks(_chunk_size(config, history)), config):
            reports += _told([_reported(outcome) for outcome in outcomes], progress)
        reports += _keyless(history.keyless, config)
    return _report(reports, started, None)


def open_source(config: JobConfig, left_out: Collection[str] = frozenset()) -> AbstractContextManager[History]:
    """The history that a job trains on, without the segments left out. Raises SourceError."""
    return open_history(config.source, config.model.history_columns, config.segments, left_out)


def _chunk_size(config: JobConfig, history: History) -> int:
    """At most what the configuration says, and small enough that every process gets a few."""
    return max(1, min(config.chunk, history.segments // (4 * (config.workers or os.cpu_count() or 1))))


def _told(reports: list[SegmentReport], progress: Advance) -> list[SegmentReport]:
    for report in reports:
        progress.advance(report.segment, report.status != "failed")
    return reports


def _keyless(keyless: Keyless, config: JobConfig) -> list[SegmentReport]:
    """The report of rows without a segment, if there are any."""
    if not keyless.count:
        return []
    column = config.source.columns.segment
    more = f" and {keyless.count - len(keyless.rows)} more" if keyless.count > len(keyless.rows) else ""
    places = ", ".join(f"row {row}" for row in keyless.rows)
    count = "1 row has" if keyless.count == 1 else f"{keyless.count} rows have"
    fault = Fault("missing_segment", f"In column {column!r}, {count} no key: {places}{more}.", column, keyless.rows)
    return [SegmentReport("", "failed", faults=(fault,))]


def _settle(outcomes: list[Outcome], config: JobConfig, registry: Registry, log: JobLog) -> list[SegmentReport]:
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


def _decide(trained: Trained, config: JobConfig, registry: Registry) -> Decision:
    """The gate's verdict on a version beside the champion that it would replace. Raises RegistryError."""
    try:
        champion = _champion_metrics(registry, trained.segment)
    except BadSegment:  # no registry has it; the writer says so
        champion = None
    return decide(trained.backtest.metrics, champion, config.gate, trained.backtest.baseline)


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


def _champion_metrics(registry: Registry, segment: str) -> Mapping[str, float] | None:
    try:
        return registry.champion(segment).metrics
    except (UnknownSegment, NoChampion):
        return None


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


def job_params(config: JobConfig, segments: int, stale_before: datetime | None = None) -> dict[str, str]:
    """What a job was asked to do: config_params, how many segments there are, and which of them are stale."""
    asked = {SEGMENTS_FOUND: str(segments), **config_params(config)}
    return asked if stale_before is None else asked | {STALE_BEFORE: stale_before.isoformat()}


def config_params(config: JobConfig) -> dict[str, str]:
    """The configuration by dotted key; the source's URL stays out, it may hold a password."""
    body = config.model_dump(mode="json", exclude={"source": {"url"}})
    params: dict[str, str] = {}
    for name, value in body.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        params.update({f"{name}.{key}".rstrip("."): str(part)[:_LONGEST_PARAM] for key, part in parts})
    return params


def _job_metrics(report: JobReport) -> dict[str, float]:
    means = {f"backtest.{name}": value for name, value in report.mean_metrics.items()}
    naive = {f"backtest.baseline_{name}": value for name, value in report.mean_baseline.items()}
    stock = {f"backtest.stock_{name}": value for name, value in report.mean_stock.items()}
    return {**{f"segments.{name}": float(count) for name, count in report.totals.items()}, **means, **naive, **stock}


def _report(
    segments: list[SegmentReport], started: float, run_id: str | None, notes: tuple[str, ...] = ()
) -> JobReport:
    in_order = tuple(sorted(segments, key=lambda segment: segment.segment))
    return JobReport(in_order, time.monotonic() - started, run_id, notes)


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


def _reported(outcome: Outcome) -> SegmentReport:
    return _failure(outcome) if isinstance(outcome, Failed) else _success(outcome)


def _failure(failed: Failed) -> SegmentReport:
    return SegmentReport(failed.segment, "failed", faults=failed.faults)


def _word(decision: Decision) -> str:
    return "promote" if decision.promote else "hold"
