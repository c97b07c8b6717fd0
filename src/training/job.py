"""A training job: read, train every segment on an engine, register, gate, promote, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from forecasting.errors import Fault
from registry.errors import RegistryError
from registry.log import JobLog
from registry.registry import Registry
from training.champions import Champions
from training.config import JobConfig
from training.engines import open_engine
from training.engines.work import Engine, Training
from training.errors import SourceError
from training.highlights import Highlights
from training.ledger import Ledger, SegmentReport
from training.progress import Advance, Silent
from training.report import JobReport
from training.retrain import fresh_segments
from training.segment import Failed, Outcome
from training.segment_list import read_list
from training.settle import foresee, reported, settle
from training.spool import History, Keyless, open_history
from training.summary import SHOWN_TABLE, training_data, write_summary

JOB_NAME = "train"
SEGMENTS_FOUND, STALE_BEFORE = "segments_found", "stale_before"  # params of a job's run beside its configuration
_CHUNKS_A_WORKER = 4  # at least, so that none is idle while another has most of what is left
_RESUMED = "The plots of forecasts and of bias leave out {} segments that were trained before the job was resumed."
_NOTHING = "There is nothing to train: no segment is listed, or every champion is recent enough."
_DRY = "This was a dry run: nothing is registered."
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
    have none. Raises SourceError when there is nothing to train on, TrainingError when the engine cannot be had,
    RegistryError when the registry cannot be written to at the start. With config.dry_run nothing is registered, and
    the report says what would be.
    """
    started = time.monotonic()
    fresh = frozenset[str]() if stale_before is None else fresh_segments(registry, stale_before)
    connection, champions = open_engine(config), Champions(registry, config)
    with open_source(config, fresh) as history:
        if (fresh or config.segments_from) and not history.segments and not history.lacking:
            return _report(Ledger(), started, None, (_NOTHING,))
        with connection as engine:
            training = training_of(engine, history, config, champions)
            if config.dry_run:
                ledger = Ledger()
                _follow(training, lambda chunk: foresee(chunk, config, champions), ledger, progress)
                return replace(_report(ledger, started, None, (_DRY,)), dry_run=True)
            log = JobLog(registry, JOB_NAME, job_params(config, history.segments, stale_before))
            if begun is not None:
                begun(log.run_id)
            return carry_out(config, champions, log, training, progress, started)


def carry_out(
    config: JobConfig,
    champions: Champions,
    log: JobLog,
    training: Training,
    progress: Advance | None,
    started: float,
    ledger: Ledger | None = None,
) -> JobReport:
    """Register what is trained, chunk after chunk, for a job whose run is open, and finish the run with a summary.

    started: on the monotonic clock. ledger: has the reports of what the job has done before it was cut short.
    """
    ledger, highlights = Ledger() if ledger is None else ledger, Highlights()
    notes = [_RESUMED.format(len(ledger))] if len(ledger) else []

    def record(chunk: Sequence[Outcome]) -> list[SegmentReport]:
        highlights.see(chunk)
        return settle(chunk, config, champions, log)

    try:
        with log:
            _follow(training, record, ledger, progress)
            report = _report(ledger, started, log.run_id, notes)
            notes += _log_summary(log, report, highlights, config, training)
    except (RegistryError, OSError) as error:  # the segments' own are settled; the job's run could not be finished
        notes.append(f"The job's own run in the registry is incomplete: {error}")
    return _report(ledger, started, log.run_id, notes)


def backtest_only(
    config: JobConfig, progress: Advance | None = None, left_out: Collection[str] = frozenset()
) -> JobReport:
    """Train and backtest every segment of the source but those left out; register nothing.

    Raises SourceError, and TrainingError when the engine cannot be had.
    """
    started, connection, ledger = time.monotonic(), open_engine(config), Ledger()
    with open_source(config, left_out) as history, connection as engine:
        training = training_of(engine, history, config)
        _follow(training, lambda chunk: list(map(reported, chunk)), ledger, progress)
    return _report(ledger, started, None)


def training_of(engine: Engine, history: History, config: JobConfig, champions: Champions | None = None) -> Training:
    """The segments of a history, trained by an engine beside their champions, and at last rows without a segment."""

    def outcomes() -> Iterator[Sequence[Outcome]]:
        chunks = history.chunks(_chunk_size(config, history.segments, engine.workers))
        with closing(engine.train_all(chunks if champions is None else champions.beside(chunks))) as trained:
            yield from trained
        yield [*_keyless(history.keyless, config), *map(_lacking, history.lacking)]

    return Training(outcomes(), history.segments, history.dataset)


def _follow(
    training: Training,
    record: Callable[[Sequence[Outcome]], Sequence[SegmentReport]],
    ledger: Ledger,
    progress: Advance | None,
) -> None:
    """Put outcomes on record as they come, and tell how far that is; rows without a segment are only told of."""
    progress = progress or Silent()
    progress.start(training.segments)
    for chunk in training.outcomes:
        reports = record([one for one in chunk if one.segment])
        ledger.add(reports)
        ledger.add(reported(one) for one in chunk if not one.segment)
        progress.advance({report.segment: report.status != "failed" for report in reports})


def open_source(config: JobConfig, left_out: Collection[str] = frozenset()) -> AbstractContextManager[History]:
    """The history that a job trains on, without the segments left out. Raises SourceError."""
    if config.source.path is None and config.source.url is None:
        raise SourceError("the source has neither path nor url; a Spark DataFrame is trained by training.spark_job")
    listed = None if config.segments_from is None else read_list(config.segments_from)
    return open_history(config.source, config.model.history_columns, config.segments, left_out, listed)


def _chunk_size(config: JobConfig, segments: int, workers: int) -> int:
    """At most what the configuration says, and small enough that every worker gets a few."""
    return max(1, min(config.chunk, segments // (_CHUNKS_A_WORKER * workers)))


def _keyless(keyless: Keyless, config: JobConfig) -> list[Failed]:
    """What is said of rows without a segment, if there are any."""
    if not keyless.count:
        return []
    column = config.source.columns.segment
    more = f" and {keyless.count - len(keyless.rows)} more" if keyless.count > len(keyless.rows) else ""
    places = ", ".join(f"row {row}" for row in keyless.rows)
    count = "1 row has" if keyless.count == 1 else f"{keyless.count} rows have"
    message = f"In column {column!r}, {count} no key: {places}{more}."
    return [Failed("", (Fault("missing_segment", message, column, keyless.rows),))]


def _lacking(segment: str) -> Failed:
    return Failed(segment, (Fault("missing_rows", "It is listed, and the source has no rows of it."),))


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


def _log_summary(
    log: JobLog, report: JobReport, highlights: Highlights, config: JobConfig, training: Training
) -> list[str]:
    """Put all that a job has to tell on its run, and say what could not be made. Raises RegistryError and OSError."""
    with TemporaryDirectory() as folder:
        notes = write_summary(report, highlights, config, Path(folder))
        log.log_summary(Path(folder), _job_metrics(report), [SHOWN_TABLE])
    log.log_data(training_data(config, training.dataset, training.segments))
    return notes


def _job_metrics(report: JobReport) -> dict[str, float]:
    means = {f"backtest.{name}": value for name, value in report.mean_metrics.items()}
    naive = {f"backtest.baseline_{name}": value for name, value in report.mean_baseline.items()}
    stock = {f"backtest.stock_{name}": value for name, value in report.mean_stock.items()}
    return {**{f"segments.{name}": float(count) for name, count in report.totals.items()}, **means, **naive, **stock}


def _report(ledger: Ledger, started: float, run_id: str | None, notes: Iterable[str] = ()) -> JobReport:
    return JobReport(ledger, time.monotonic() - started, run_id, tuple(notes))
