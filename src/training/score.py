"""Score the forecast log against what came: live accuracy, coverage and drift, segment by segment, in MLflow too."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from forecasting.errors import HistoryError
from forecasting.history import check_history
from registry.champions import Lookup, open_lookup
from registry.errors import RegistryError
from registry.forecast_log import ForecastLog, LoggedForecast
from registry.log import JobLog
from registry.registry import Registry
from registry.versions import ModelVersion
from training.config import JobConfig
from training.dataset import Dataset
from training.score_report import ScoreReport
from training.score_summary import SHOWN_TABLE, write_summary
from training.scoring import ScoreRules, SegmentScore, score_segment
from training.segment_list import read_list
from training.spool import Chunk, History, open_history
from training.summary import training_data

RUN_NAME = "score"
_CHUNK = 200  # segments whose forecasts are read, and in memory, at a time


def score_log(config: JobConfig, log: ForecastLog, registry: Registry, rules: ScoreRules) -> ScoreReport:
    """Join logged forecasts with the actuals in a configuration's source, and put what comes of it on record.

    Of the configuration count source, checks, segments and segments_from. Raises SourceError, ForecastLogError, and
    RegistryError when the champions cannot be looked up.
    """
    started = time.monotonic()
    log.check()
    look_up = open_lookup(registry)
    listed = None if config.segments_from is None else read_list(config.segments_from)
    with open_history(config.source, patterns=config.segments, listed=listed) as history:
        dataset, segments = history.dataset, history.segments
        silent = log.segments(rules.since)
        scores = [
            score for chunk in _marked(history, silent) for score in _score_chunk(chunk, config, log, look_up, rules)
        ]
    report = ScoreReport(tuple(scores), time.monotonic() - started, rules, len(silent) if listed is None else 0)
    try:
        return _put_on_record(report, config, log, registry, dataset, segments)
    except (RegistryError, OSError) as error:  # what was found stands
        return replace(report, notes=(*report.notes, f"The score's own run in the registry is incomplete: {error}"))


def _marked(history: History, silent: set[str]) -> Iterator[Chunk]:
    """The chunks of a history, whose segments are taken off those that have forecasts and no actuals."""
    for chunk in history.chunks(_CHUNK):
        silent.difference_update(chunk.segments)
        yield chunk


def _score_chunk(
    chunk: Chunk, config: JobConfig, log: ForecastLog, look_up: Lookup, rules: ScoreRules
) -> Iterator[SegmentScore]:
    """The scores of those of a chunk's segments that have forecasts in the log."""
    found = log.forecasts(chunk.segments, rules.since)
    champions = look_up(list(found)) if found else {}
    for segment, frame in chunk:
        if segment in found:
            yield _score(segment, frame, found[segment], champions, config, rules)


def _score(
    segment: str,
    frame: pd.DataFrame,
    forecasts: list[LoggedForecast],
    champions: Mapping[str, ModelVersion],
    config: JobConfig,
    rules: ScoreRules,
) -> SegmentScore:
    columns = config.source.columns
    try:
        actuals = check_history(
            frame,
            duplicates=config.checks.duplicates,
            freq=config.checks.freq,
            row_numbers=frame.index.to_numpy(),
            column_names={"ds": columns.ds, "y": columns.y},
        )
    except HistoryError as error:
        return SegmentScore(segment, "failed", tuple(fault.message for fault in error.faults))
    return score_segment(segment, actuals, forecasts, champions.get(segment), rules)


def _put_on_record(
    report: ScoreReport, config: JobConfig, log: ForecastLog, registry: Registry, dataset: Dataset, segments: int
) -> ScoreReport:
    """Log a run with the report, tables, a plot, figures and what the actuals were. Raises RegistryError, OSError."""
    asked = {"forecast_log": log.place, "segments": config.segments, "segments_from": config.segments_from}
    drift = {f"drift.{name}": value for name, value in asdict(report.rules.drift).items()}
    rules = {"since": report.rules.since.isoformat(), "every": report.rules.every, "late": report.rules.late}
    with JobLog(registry, RUN_NAME, {**asked, **rules, **drift}) as run, TemporaryDirectory() as folder:
        report = replace(report, run_id=run.run_id)
        notes = write_summary(report, Path(folder))
        run.log_summary(Path(folder), report.figures, [SHOWN_TABLE])
        run.log_data(training_data(config, dataset, segments), context="evaluation")
    return replace(report, notes=(*report.notes, *notes))
