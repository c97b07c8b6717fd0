"""A job from files to champions, with real worker processes, a real Prophet and an embedded registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from forecasting.state import ForecastModel
from registry.errors import RegistryUnavailable
from registry.registry import Registry
from training.config import JobConfig, load_config
from training.errors import SourceError
from training.job import backtest_only, run_job
from training.ledger import SegmentReport
from training.report import JobReport

SOUND = ["user_42_groceries", "a/b:c %é🍎"]
BROKEN = {
    "": "missing_segment",
    "duplicate": "duplicate_dates",
    "infinite": "infinite_number",
    "k" * 300: "registration_failed",
    "one": "too_few_points",
    "undated": "missing_date",
    "unreadable date": "unparsable_date",
    "word": "unparsable_number",
}


def rows_of(segment: str, ds: list[Any], y: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"segment": segment, "ds": ds, "y": [str(value) for value in y]})


def history() -> pd.DataFrame:
    days = [str(day.date()) for day in pd.date_range("2024-01-01", periods=40)]
    noise = np.random.default_rng(0).normal(0, 0.5, 40)
    y = [float(value) for value in np.arange(40) % 7 + noise]
    return pd.concat(
        [
            *(rows_of(segment, days, y) for segment in SOUND),
            rows_of("", days[:2], [1, 2]),
            rows_of("duplicate", [days[0], *days[:3]], [1, 2, 3, 4]),
            rows_of("infinite", days[:3], [1, "inf", 3]),
            rows_of("k" * 300, days[:5], [1, 2, 3, 4, 5]),
            rows_of("one", days[:1], [1]),
            rows_of("undated", [days[0], "", days[1]], [1, 2, 3]),
            rows_of("unreadable date", [*days[:3], "soon"], [1, 2, 3, 4]),
            rows_of("word", days[:3], [1, "two", 3]),
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "history.csv"
    history().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db")


class Counting:
    """Remembers what a job told of its progress."""

    def __init__(self) -> None:
        self.total, self.oks = 0, dict[str, bool]()

    def start(self, total: int) -> None:
        self.total = total

    def advance(self, segments: Mapping[str, bool]) -> None:
        assert not self.oks.keys() & segments
        self.oks.update(segments)


def config_of(source: Path, **overrides: object) -> JobConfig:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(None, {"source.path": source, "backtest.cutoffs": 1, "workers": 2, **dotted})


@pytest.fixture(scope="module")
def progress() -> Counting:
    return Counting()


@pytest.fixture(scope="module")
def report(source: Path, registry: Registry, progress: Counting) -> JobReport:
    return run_job(config_of(source), registry, progress)


def one(report: JobReport, segment: str) -> SegmentReport:
    [found] = [entry for entry in report.segments if entry.segment == segment]
    return found


def test_eight_segments_broken_in_eight_ways_fail_and_the_others_are_champions(
    report: JobReport, registry: Registry
) -> None:
    assert report.totals == {"segments": 10, "trained": 2, "held": 0, "failed": 8}
    assert {entry.segment: entry.faults[0].code for entry in report.segments if entry.faults} == BROKEN
    assert report.exit_code == 1
    for segment in SOUND:
        champion = registry.champion(segment)
        assert champion.version == one(report, segment).version == 1
        assert np.isfinite(registry.load(champion).beta).all()


def test_faults_name_the_rows_of_the_source(report: JobReport) -> None:
    table = history()
    for segment, value in [("word", "two"), ("unreadable date", "soon")]:
        fault = one(report, segment).faults[0]
        assert fault.values == (value,)
        assert table[fault.column or ""].iloc[fault.rows[0]] == value


def test_progress_is_told_for_every_segment(report: JobReport, progress: Counting) -> None:
    keyed = {entry.segment: entry.status != "failed" for entry in report.segments if entry.segment}
    assert progress.total == len(keyed)
    assert progress.oks == keyed


def test_a_version_carries_its_metrics_and_the_gates_decision(report: JobReport, registry: Registry) -> None:
    entry, champion = one(report, SOUND[0]), registry.champion(SOUND[0])
    assert champion.metrics["mase"] == entry.metrics["mase"]
    assert champion.metrics["baseline_mase"] == entry.baseline["mase"]
    assert champion.tags["gate.decision"] == "promote"
    assert champion.tags["gate.reasons"].startswith("There is no champion yet.")
    assert champion.tags["forecast.freq"] == "D"
    assert champion.tags["forecast.trained_through"] == "2024-02-09T00:00:00"
    assert champion.tags["forecast.rows"] == "40"
    assert registry.aliases(SOUND[0]) == {"champion": 1, "challenger": 1}


def test_the_jobs_run_holds_the_report_and_a_child_run_a_segment(report: JobReport, registry: Registry) -> None:
    assert report.run_id is not None
    client = registry.client
    run = client.get_run(report.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["segments.failed"] == 8
    assert run.data.params["backtest.cutoffs"] == "1"
    children = client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{report.run_id}'", max_results=100
    )
    assert {child.info.run_name for child in children if child.info.status == "FINISHED"} >= set(SOUND)
    assert "word" in {child.info.run_name for child in children if child.info.status == "FAILED"}
    mlflow.set_tracking_uri(registry.uri)
    body = json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/report.json"))
    assert body["totals"] == report.totals


def test_the_jobs_run_shows_its_segments_and_names_its_data(
    report: JobReport, registry: Registry, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MLflow's own log_table and log_input would have them; a page of MLflow's reads both."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)  # load_table reads artifacts of the store that is named
    client = registry.client
    run = client.get_run(report.run_id)
    there = {file.path for folder in (None, "plots") for file in client.list_artifacts(report.run_id, folder)}
    assert there >= {"report.json", "segments.parquet", "segments_table.json"}
    assert there >= {f"plots/{name}.png" for name in ("distributions", "worst", "largest")}
    table = client.load_table(run.info.experiment_id, "segments_table.json", [report.run_id], ["run_id"])
    assert sorted(table["segment"]) == [entry.segment for entry in report.segments]
    [given] = run.inputs.dataset_inputs
    assert (given.dataset.name, json.loads(given.dataset.profile)) == (
        "history.csv",
        {"num_rows": len(history()), "num_segments": 9},
    )
    assert mlflow.data.get_source(given.dataset).load() == str(source)
    assert {"name": "y", "type": "string"} in json.loads(given.dataset.schema)["mlflow_colspec"]
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")]
    assert report.notes == ()


def test_a_run_of_what_is_asked_leaves_the_rest_and_a_stricter_gate_holds_it(
    report: JobReport, source: Path, registry: Registry
) -> None:
    other = {"model__changepoint_prior_scale": 0.01, "gate__max_mase_ratio": 0.5}
    again = run_job(config_of(source, segments=["user_*"], **other), registry)
    assert report.exit_code == 1
    assert again.exit_code == 0
    [entry] = again.segments
    assert (entry.segment, entry.status, entry.decision, entry.version) == (SOUND[0], "held", "hold", 2)
    assert "is worse than the configuration of champion 1 on the same cutoffs" in entry.reasons[0]
    assert registry.aliases(SOUND[0]) == {"champion": 1, "challenger": 2}
    assert len(registry.versions(SOUND[1])) == 1


def test_without_promotion_a_version_stays_a_challenger(source: Path, tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db")
    run_job(config_of(source, segments=[SOUND[1]], promote=False), registry)
    assert registry.aliases(SOUND[1]) == {"challenger": 1}


@pytest.mark.parametrize("solver", [None, "exact", "cmdstan"])
def test_the_configuration_chooses_the_solver_and_the_version_says_which_it_was(
    source: Path, tmp_path: Path, solver: str | None
) -> None:
    """Ours by default; in the tag, and in the model that serving reads."""
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db")
    run_job(config_of(source, segments=[SOUND[0]], solver=solver, recipe="stock", workers=1), registry)
    champion = registry.champion(SOUND[0])
    model = registry.load(champion)
    assert isinstance(model, ForecastModel)
    assert champion.tags["forecast.solver"] == model.solver == (solver or "exact")


def test_a_dry_run_without_a_registry_makes_none(source: Path, tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db")
    report = run_job(config_of(source, segments=[SOUND[0]], dry_run=True), registry)
    assert report.run_id is None
    assert one(report, SOUND[0]).metrics["mase"] > 0
    assert one(report, SOUND[0]).decision == "would promote"
    assert list(tmp_path.iterdir()) == []


def test_a_backtest_alone_needs_no_registry(source: Path) -> None:
    report = backtest_only(config_of(source, segments=[SOUND[0], "word"]))
    assert report.totals == {"segments": 2, "trained": 1, "held": 0, "failed": 1}
    assert one(report, SOUND[0]).decision is None


def test_a_pattern_that_matches_nothing_ends_the_job(source: Path) -> None:
    with pytest.raises(SourceError, match="'usr_"):
        backtest_only(config_of(source, segments=["user_*", "usr_*"]))


def test_a_registry_that_goes_away_costs_no_report(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db")

    def gone(*_: object, **__: object) -> None:
        raise RegistryUnavailable("gone")

    for function in ("open_writer", "JobLog.log_summary"):
        monkeypatch.setattr(f"registry.log.{function}", gone)
    report = run_job(config_of(source, segments=[SOUND[0]]), registry)
    assert one(report, SOUND[0]).faults[0].code == "registration_failed"
    assert report.notes == ("The job's own run in the registry is incomplete: gone",)
