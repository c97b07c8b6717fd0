"""A training job: read, train every segment on an engine, register, gate, promote, report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import datetime

from forecasting.errors import Fault
from registry.errors import RegistryError
from registry.log import JobLog
from registry.registry import Registry
from training.config import JobConfig
from training.engines import engine_of
from training.progress import Advance, Silent
from training.report import JobReport, SegmentReport
from training.retrain import fresh_segments
from training.settle import reported, settle
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
                reports += _told(settle(outcomes, config, registry, log), progress)
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
            reports += _told([reported(outcome) for outcome in outcomes], progress)
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
