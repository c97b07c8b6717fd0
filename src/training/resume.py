"""Finish a job that was cut short: train what has no version of it, and put what has one in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime

from registry.errors import NotResumable
from registry.log import JobLog
from registry.registry import Registry
from registry.unfinished import Left, end_runs, find_job, finish_aliases, versions_of
from registry.versions import ModelVersion
from training.champions import Champions
from training.config import JobConfig
from training.engines import open_engine
from training.errors import ConfigError
from training.job import JOB_NAME, SEGMENTS_FOUND, STALE_BEFORE, carry_out, config_params, open_source, training_of
from training.ledger import Ledger, SegmentReport
from training.progress import Advance
from training.report import JobReport
from training.retrain import fresh_segments

_HOW = {"workers", "chunk", "engine"}  # sections that change a job's pace and nothing of what it makes
_RIVALS = ("baseline_", "stock_")  # what the metrics of others begin with, beside a version's own


def resume_job(
    run_id: str,
    config: JobConfig,
    registry: Registry,
    progress: Advance | None = None,
    begun: Callable[[str], None] | None = None,
) -> JobReport:
    """Finish a job under its own run; the report is that of the whole job.

    Segments that have a version from the job are not trained again, those that failed are. Files that were stored
    and not registered are left for `prophetctl prune`. The job's process must be gone, which nobody checks.
    Raises NotResumable, ConfigError when the configuration is not the job's, and what run_job raises.
    """
    started, params = time.monotonic(), find_job(registry, run_id)
    if SEGMENTS_FOUND not in params:
        raise NotResumable(f"run {run_id} is no training job's, or was cut short before it had begun: start a new job")
    check_same(params, config_params(config), run_id)
    connection = open_engine(config)
    if begun is not None:
        begun(run_id)
    end_runs(registry, run_id)
    ledger, left = _what_is_done(registry, run_id, config.promote)
    finish_aliases(registry, left)
    stale_before = params.get(STALE_BEFORE)
    fresh = fresh_segments(registry, datetime.fromisoformat(stale_before)) if stale_before else frozenset[str]()
    done = {one.segment for one in left}
    with open_source(config, fresh | done) as history, connection as engine:
        log, champions = JobLog(registry, JOB_NAME, {}, unfinished=run_id), Champions(registry, config)
        training = training_of(engine, history, config, champions)
        return carry_out(config, champions, log, training, progress, started, ledger)


def check_same(before: Mapping[str, str], now: Mapping[str, str], run_id: str) -> None:
    """Raise ConfigError naming every key that is not as it was when the job began, but for those of its pace."""
    keys = [key for key in {**before, **now} if key.split(".")[0] not in _HOW | {SEGMENTS_FOUND, STALE_BEFORE}]
    changed = [
        f"  {key}: it was {before.get(key, 'not there')}, and is {now.get(key, 'not there')}"
        for key in keys
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise ConfigError(f"job {run_id} cannot go on with another configuration:\n" + "\n".join(changed))


def report_of(version: ModelVersion) -> SegmentReport:
    """A segment's outcome, as far as its version's tags tell: the notes are lost, and the reasons one text."""
    measured, tags = version.metrics, version.tags
    naive, stock = (
        {name.removeprefix(rival): value for name, value in measured.items() if name.startswith(rival)}
        for rival in _RIVALS
    )
    decision = tags.get("gate.decision")
    return SegmentReport(
        segment=version.segment,
        status="trained" if decision == "promote" else "held",
        version=version.version,
        freq=tags.get("forecast.freq"),
        rows=int(tags["forecast.rows"]) if "forecast.rows" in tags else None,
        metrics={name: value for name, value in measured.items() if not name.startswith(_RIVALS)},
        baseline=naive,
        stock=stock,
        recipe=tags.get("forecast.recipe"),
        decision=decision,
        reasons=(tags["gate.reasons"],) if "gate.reasons" in tags else (),
    )


def _what_is_done(registry: Registry, run_id: str, promote: bool) -> tuple[Ledger, list[Left]]:
    """The reports of the segments that have a version of the job, and what those versions were to become."""
    ledger, left = Ledger(), list[Left]()
    for version in versions_of(registry, run_id):
        report = report_of(version)
        ledger.add([report])
        wanted = promote and report.decision == "promote"
        left.append(Left(version.segment, version.version, version.created, wanted, " ".join(report.reasons)))
    return ledger, left
