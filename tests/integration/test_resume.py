"""Jobs that are killed at the worst moments, and what --resume makes of them; what is stale, trained again."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

import cli
from forecasting.state import ForecastModel
from registry.errors import NotResumable
from registry.log import EXPERIMENT, JobLog
from registry.registry import Registry
from tests.integration import killed_job
from tests.integration.test_concurrent_writers import orphans
from training.config import JobConfig, load_config
from training.errors import ConfigError
from training.job import run_job
from training.ledger import SegmentReport
from training.report import JobReport
from training.resume import resume_job

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.integration.writing_job", "tests.integration.killed_job"])
PATIENCE = 60
SEGMENTS = ["shop 0", "shop 1", "shop 2", "shop/ä 3"]
BROKEN = "broken"


@pytest.fixture(autouse=True)
def _without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """How chunks are trained is not the question here; tests/e2e/test_killed_job.py runs the real command."""
    for module in ("job", "resume"):
        monkeypatch.setattr(f"training.{module}.open_engine", killed_job.engine_here)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sound segments, and one that fails whenever it is trained."""
    path = tmp_path_factory.mktemp("source") / "history.csv"
    days = pd.date_range("2024-01-01", periods=30)
    y = np.arange(30) % 7 + np.random.default_rng(1).normal(0, 0.3, 30)
    sound = [pd.DataFrame({"segment": segment, "ds": days, "y": y}) for segment in SEGMENTS]
    pd.concat([*sound, pd.DataFrame({"segment": BROKEN, "ds": days[:1], "y": [1.0]})]).to_csv(path, index=False)
    return path


def config_of(source: Path, **changes: object) -> JobConfig:
    given = {"source.path": source, "backtest.cutoffs": 1, "workers": 1, "chunk": 1}
    return load_config(None, given | {key.replace("__", "."): value for key, value in changes.items()})


def killed(registry: Registry, config: JobConfig, moment: str) -> str:
    """The run of a job that was killed at a moment."""
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=killed_job.die, args=(registry.uri, config, moment, theirs))
    process.start()
    try:
        assert ours.poll(PATIENCE), "the job did not begin"
        run_id = ours.recv()
        process.join(PATIENCE)
        assert process.exitcode == -9
    finally:
        process.kill()
        process.join()
    return str(run_id)


def statuses(registry: Registry, run_id: str) -> dict[str, list[str]]:
    """How the runs of a job's segments ended."""
    experiment = registry.client.get_run(run_id).info.experiment_id
    found: dict[str, list[str]] = {}
    for run in registry.client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'"):
        found.setdefault(run.info.run_name, []).append(run.info.status)
    return found


def assert_whole(registry: Registry, report: JobReport, run_id: str) -> None:
    """One version a segment, made by this job; its aliases and one promotion; champions load; the job is finished."""
    assert report.run_id == run_id
    assert report.totals == {"segments": 5, "trained": 4, "held": 0, "failed": 1}
    assert orphans(registry) == []
    for segment in SEGMENTS:
        [version] = registry.versions(segment)
        assert version.tags["forecast.job"] == run_id
        assert registry.aliases(segment) == {"champion": version.version, "challenger": version.version}
        assert {(move.version, move.previous) for move in registry.history(segment)} == {(version.version, None)}
        assert isinstance(registry.load(registry.champion(segment)), ForecastModel)
    run = registry.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert (run.data.metrics["segments.trained"], run.data.metrics["segments.failed"]) == (4, 1)
    ended = statuses(registry, run_id)
    assert set(ended.pop(BROKEN)) == {"FAILED"}
    assert {segment: runs.count("FINISHED") for segment, runs in ended.items()} == dict.fromkeys(SEGMENTS, 1)
    assert not any("RUNNING" in runs for runs in ended.values())


@pytest.mark.parametrize("moment", killed_job.IN_BULK)
def test_a_job_killed_while_it_writes_in_bulk_is_finished(both_stores: Registry, source: Path, moment: str) -> None:
    """What was committed stays, what was not is made, and the aliases name it."""
    config = config_of(source)
    run_id = killed(both_stores, config, moment)
    before = {segment: version for segment, version in _versions(both_stores)}
    report = resume_job(run_id, config, both_stores)
    assert_whole(both_stores, report, run_id)
    assert len(before) == (2 if "alias" in moment or "registered" in moment else 1)
    assert all(both_stores.versions(segment)[0].run_id == run for segment, run in before.items()), "trained again"


def _versions(registry: Registry) -> list[tuple[str, str]]:
    query = sa.text("SELECT name, run_id FROM model_versions")
    with sa.create_engine(registry.uri, poolclass=sa.NullPool).connect() as connection:
        return [(name.removeprefix("forecast.").replace("%2F", "/"), run) for name, run in connection.execute(query)]


@pytest.mark.parametrize("moment", killed_job.ONE_BY_ONE)
def test_a_job_killed_between_two_calls_of_mlflows_api_is_finished(
    registry: Registry, source: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that was open is closed, and a model that no version names is deleted."""
    monkeypatch.setattr("registry.log.open_writer", killed_job.ApiWriter)
    config = config_of(source)
    run_id = killed(registry, config, moment)
    assert_whole(registry, resume_job(run_id, config, registry), run_id)
    experiment = registry.client.get_experiment_by_name(EXPERIMENT)
    assert len(registry.client.search_logged_models([experiment.experiment_id])) == len(SEGMENTS)


def test_a_job_that_promotes_nothing_is_resumed_without_promoting(registry: Registry, source: Path) -> None:
    """The kill fell before the challenger's alias; the champion's is not set."""
    config = config_of(source, promote=False)
    run_id = killed(registry, config, "versions are registered")
    resume_job(run_id, config, registry)
    assert [registry.aliases(segment) for segment in SEGMENTS] == [{"challenger": 1}] * 4
    assert [registry.history(segment) for segment in SEGMENTS] == [[]] * 4


def test_what_happened_since_the_kill_stands(registry: Registry, source: Path) -> None:
    """A rollback is not undone, and a newer champion is not replaced by the older version."""
    sound = config_of(source, segments=("shop*",))
    run_job(sound, registry)
    run_id = killed(registry, sound, "versions are registered")
    first, second = [segment for segment in SEGMENTS if len(registry.versions(segment)) == 2]
    assert registry.rollback(first).version == 1
    assert registry.aliases(second) == {"champion": 1, "challenger": 1}
    run_job(config_of(source, segments=(second,)), registry)
    assert registry.aliases(second) == {"champion": 3, "challenger": 3}

    resume_job(run_id, sound, registry)
    assert registry.aliases(first) == {"champion": 1, "challenger": 2}
    assert registry.aliases(second) == {"champion": 3, "challenger": 3}
    for segment in SEGMENTS[2:]:
        assert registry.aliases(segment) == {"champion": 2, "challenger": 2}


def test_only_the_unfinished_job_of_the_same_configuration_is_resumed(registry: Registry, source: Path) -> None:
    """Everything else is told apart by its message, and nothing is trained."""
    config = config_of(source, segments=(SEGMENTS[0],))
    begun: list[str] = []
    report = run_job(config, registry, begun=begun.append)
    assert [report.run_id] == begun
    client, job = registry.client, begun[0]
    with pytest.raises(NotResumable, match="no job 'deadbeef'"):
        resume_job("deadbeef", config, registry)
    with pytest.raises(NotResumable, match="is finished"):
        resume_job(job, config, registry)
    with pytest.raises(NotResumable, match=f"its job is {job}"):
        resume_job(registry.champion(SEGMENTS[0]).run_id or "", config, registry)
    client.update_run(job, status="RUNNING")
    with pytest.raises(ConfigError, match=r"backtest\.cutoffs: it was 1, and is 0\n  gate\.min_coverage: .* is 0\.5$"):
        resume_job(
            job, config_of(source, segments=(SEGMENTS[0],), backtest__cutoffs=0, gate__min_coverage=0.5), registry
        )
    client.delete_run(job)
    with pytest.raises(NotResumable, match="was deleted"):
        resume_job(job, config, registry)
    other = JobLog(registry, "notebook", {"alpha": 1}).run_id
    with pytest.raises(NotResumable, match="no training job's"):
        resume_job(other, config, registry)
    assert len(registry.versions(SEGMENTS[0])) == 1


def told(report: SegmentReport) -> SegmentReport:
    """A report without what no tag keeps."""
    return replace(report, notes=(), reasons=(" ".join(report.reasons),))


def test_a_resumed_job_reports_what_it_did_before(registry: Registry, source: Path) -> None:
    """The report that a job gives and the one that its versions' tags give are the same, but for the notes."""
    config = config_of(source, segments=("shop*",))
    first = run_job(config, registry)
    registry.client.update_run(first.run_id, status="RUNNING")
    again = resume_job(first.run_id or "", config_of(source, segments=("shop*",), workers=2, chunk=3), registry)
    assert [told(segment) for segment in again.segments] == [told(segment) for segment in first.segments]
    assert next(iter(first.segments)).metrics
    assert again.notes == (
        "The plots of forecasts and of bias leave out 4 segments that were trained before the job was resumed.",
    )
    assert again.mean_metrics == first.mean_metrics
    assert len(registry.versions(SEGMENTS[0])) == 1


def test_only_stale_segments_are_trained_again_and_a_killed_retraining_resumes_with_them(
    registry: Registry, source: Path
) -> None:
    """Two champions are recent, one is old, one segment has none; histories end on 2024-01-30."""
    run_job(config_of(source, segments=SEGMENTS[:3]), registry)
    registry.client.set_model_version_tag("forecast.shop 2", "1", "forecast.trained_through", "2024-01-09T00:00:00")
    stale_before = datetime(2024, 1, 20, tzinfo=UTC)
    config = config_of(source, segments=("shop*",))

    report = run_job(config, registry, stale_before=stale_before)
    assert [segment.segment for segment in report.segments] == SEGMENTS[2:]
    assert [len(registry.versions(segment)) for segment in SEGMENTS] == [1, 1, 2, 1]

    registry.client.update_run(report.run_id, status="RUNNING")
    registry.client.delete_registered_model("forecast.shop%2Fä 3")
    again = resume_job(report.run_id or "", config, registry)
    assert [segment.segment for segment in again.segments] == SEGMENTS[2:]
    assert [len(registry.versions(segment)) for segment in SEGMENTS] == [1, 1, 2, 1]

    nothing = run_job(config, registry, stale_before=stale_before)
    assert (nothing.run_id, len(nothing.segments), nothing.exit_code) == (None, 0, 0)
    assert "nothing to train" in nothing.notes[0]


def prophetctl(registry: Registry, *words: str) -> Result:
    return CliRunner().invoke(cli.app, [*words, "--tracking-uri", registry.uri])


def test_the_command_says_how_to_finish_a_job_that_is_cut_short(
    registry: Registry, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Ctrl-C here; the id stands in the first line, in the hint and in the report."""
    train = ["train", "--path", str(source), "--cutoffs", "0", "--workers", "1", "--segment", "shop*"]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("training.job._keyless", interrupted)
        broken = prophetctl(registry, *train)
    assert broken.exit_code != 0
    [first, *_, hint] = [line for line in broken.stderr.splitlines() if line.startswith("job ")]
    job = first.removeprefix("job ")
    assert f"`prophetctl train --resume {job}`" in hint
    done = prophetctl(registry, *train, "--resume", job)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, f"job {job}")
    assert "4 segments" in done.stdout
    again = prophetctl(registry, *train, "--resume", job)
    assert (again.exit_code, again.stdout) == (2, "")
    assert f"job {job} is finished" in again.stderr


def test_the_command_that_retrains_takes_an_age(registry: Registry, source: Path) -> None:
    """Histories of 2024 are stale after a week, and fresh for a hundred years."""
    options = ["--path", str(source), "--cutoffs", "0", "--workers", "1", "--segment", "shop*"]
    for age, versions in [("5000w", 1), ("7d", 2), ("5000w", 2)]:
        assert prophetctl(registry, "retrain", "--stale", age, *options).exit_code == 0
        assert [len(registry.versions(segment)) for segment in SEGMENTS] == [versions] * len(SEGMENTS)
    wrong = prophetctl(registry, "retrain", "--stale", "soon", *options)
    assert wrong.exit_code == 2
    assert "'soon' is no age" in wrong.stderr
