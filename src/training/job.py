"""A training job: read, train every segment in worker processes, register, gate, promote, report."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Mapping
from contextlib import suppress

import pandas as pd

from forecasting import prophet_model
from forecasting.errors import Fault, ModelError
from registry.errors import NoChampion, RegistryError, UnknownSegment
from registry.log import JobLog
from registry.registry import Registry
from training.config import JobConfig
from training.errors import SourceError
from training.gate import Decision, decide
from training.pool import train_all
from training.progress import Advance, Silent
from training.report import JobReport, SegmentReport
from training.segment import Failed, Trained
from training.sources import read_history

JOB_NAME = "train"
_SHOWN = 5  # rows that a fault names
_LONGEST_PARAM = 5000  # characters of a query that MLflow takes


def run_job(config: JobConfig, registry: Registry, progress: Advance | None = None) -> JobReport:
    """Train, register and gate every segment of the source; one segment's failure is its own.

    Raises SourceError when there is nothing to train on, RegistryError when the registry cannot be written to
    at the start. With config.dry_run the registry is left alone.
    """
    if config.dry_run:
        return backtest_only(config, progress)
    started, progress = time.monotonic(), progress or Silent()
    frames, keyless = read_segments(config)
    progress.start(len(frames))
    reports: list[SegmentReport] = []
    notes: list[str] = []
    log = JobLog(registry, JOB_NAME, _job_params(config, len(frames)))
    try:
        with log:
            for outcome in train_all(frames, config):
                report = _settle(outcome, config, registry, log)
                reports.append(report)
                progress.advance(report.segment, report.status != "failed")
            so_far = _report([*reports, *keyless], started, log.run_id)
            log.log_summary(so_far.to_dict(), _job_metrics(so_far))
    except RegistryError as error:  # the segments' own are settled; this is the job's run that could not be finished
        notes.append(f"The job's own run in the registry is incomplete: {error}")
    return _report([*reports, *keyless], started, log.run_id, tuple(notes))


def backtest_only(config: JobConfig, progress: Advance | None = None) -> JobReport:
    """Train and backtest every segment of the source and register nothing. Raises SourceError."""
    started, progress = time.monotonic(), progress or Silent()
    frames, keyless = read_segments(config)
    progress.start(len(frames))
    reports = []
    for outcome in train_all(frames, config):
        reports.append(_failure(outcome) if isinstance(outcome, Failed) else _success(outcome))
        progress.advance(outcome.segment, isinstance(outcome, Trained))
    return _report([*reports, *keyless], started, None)


def read_segments(config: JobConfig) -> tuple[dict[str, pd.DataFrame], list[SegmentReport]]:
    """Read the source and part it into one table a segment, numbered by the source's rows.

    Returns the tables of the segments that config.segments asks for, and the report of rows without a key.
    Raises SourceError when no segment is left, or a pattern matches none.
    """
    table = read_history(config.source, config.model.history_columns)
    keyless = table["segment"].isna()
    frames = {str(key): group for key, group in table.drop(columns="segment").groupby(table["segment"], sort=True)}
    if config.segments is None:
        if table.empty:
            raise SourceError("the source has no rows")
        return frames, [_keyless(table.index[keyless], config.source.columns.segment)] if keyless.any() else []
    asked = {key for pattern in config.segments for key in _matching(pattern, frames)}
    return {key: frame for key, frame in frames.items() if key in asked}, []


def _matching(pattern: str, frames: Mapping[str, pd.DataFrame]) -> list[str]:
    found = [key for key in frames if key == pattern or fnmatch.fnmatchcase(key, pattern)]
    if not found:
        raise SourceError(f"no segment of the source matches {pattern!r}")
    return found


def _keyless(rows: pd.Index, column: str) -> SegmentReport:
    shown = tuple(int(row) for row in rows[:_SHOWN])
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    places = ", ".join(f"row {row}" for row in shown)
    count = "1 row has" if len(rows) == 1 else f"{len(rows)} rows have"
    fault = Fault("missing_segment", f"In column {column!r}, {count} no key: {places}{more}.", column, shown)
    return SegmentReport("", "failed", faults=(fault,))


def _settle(outcome: Trained | Failed, config: JobConfig, registry: Registry, log: JobLog) -> SegmentReport:
    """Put one outcome on record; what the registry refuses is this segment's failure."""
    if isinstance(outcome, Trained):
        try:
            return _register(outcome, config, registry, log)
        except (RegistryError, ModelError) as error:
            outcome = Failed(outcome.segment, (Fault("registration_failed", str(error)),))
    with suppress(RegistryError):  # the report tells of the failure all the same
        log.log_failure(outcome.segment, "\n".join(fault.message for fault in outcome.faults))
    return _failure(outcome)


def _register(trained: Trained, config: JobConfig, registry: Registry, log: JobLog) -> SegmentReport:
    """Log a version, let the gate judge it against the champion, and promote it if it may."""
    segment, result = trained.segment, trained.backtest
    baseline = {f"baseline_{name}": value for name, value in result.baseline.items()}
    measured = {**result.metrics, **baseline}
    decision = decide(result.metrics, _champion_metrics(registry, segment), config.gate, result.baseline)
    version = log.log_segment(
        segment,
        prophet_model.from_json(trained.model_json),
        params=config.model.model_dump(mode="json"),
        metrics={f"backtest.{name}": value for name, value in measured.items()},
        tags=_tags(trained, config, measured, decision),
    )
    registry.set_challenger(segment, version.version)
    if decision.promote and config.promote:
        registry.promote(segment, version.version, " ".join(decision.reasons))
    return _success(trained, version.version, decision)


def _champion_metrics(registry: Registry, segment: str) -> Mapping[str, float] | None:
    try:
        return registry.champion(segment).metrics
    except (UnknownSegment, NoChampion):
        return None


def _tags(trained: Trained, config: JobConfig, measured: Mapping[str, float], decision: Decision) -> dict[str, str]:
    return {
        "forecast.freq": trained.freq,
        "forecast.trained_through": trained.trained_through.isoformat(),
        "forecast.solver": trained.solver,
        "forecast.log_posterior": "" if trained.log_posterior is None else repr(trained.log_posterior),
        "forecast.interval_width": str(config.model.interval_width),
        "forecast.dataset_digest": trained.digest,
        "forecast.rows": str(trained.rows),
        "gate.decision": _word(decision),
        "gate.reasons": " ".join(decision.reasons),
        **{f"metric.{name}": repr(value) for name, value in measured.items()},
    }


def _job_params(config: JobConfig, segments: int) -> dict[str, str]:
    """The configuration by dotted key; the source's URL stays out, it may hold a password."""
    body = config.model_dump(mode="json", exclude={"source": {"url"}})
    params = {"segments_found": str(segments)}
    for name, value in body.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        params.update({f"{name}.{key}".rstrip("."): str(part)[:_LONGEST_PARAM] for key, part in parts})
    return params


def _job_metrics(report: JobReport) -> dict[str, float]:
    means = {f"backtest.{name}": value for name, value in report.mean_metrics.items()}
    naive = {f"backtest.baseline_{name}": value for name, value in report.mean_baseline.items()}
    return {**{f"segments.{name}": float(count) for name, count in report.totals.items()}, **means, **naive}


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
        decision=None if decision is None else _word(decision),
        reasons=() if decision is None else decision.reasons,
        notes=trained.notes,
    )


def _failure(failed: Failed) -> SegmentReport:
    return SegmentReport(failed.segment, "failed", faults=failed.faults)


def _word(decision: Decision) -> str:
    return "promote" if decision.promote else "hold"
