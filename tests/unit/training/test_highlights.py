"""The worst and the largest segments are held, and nothing else; what a plot shows of them is what was backtested."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from forecasting.backtest import BacktestResult
from forecasting.errors import Fault
from forecasting.metrics import mase
from training.config import JobConfig, load_config
from training.highlights import SHOWN, Highlights, view_of
from training.ledger import Ledger, SegmentReport
from training.report import JobReport
from training.segment import Failed, Trained, train_segment
from training.settle import reported
from training.summary import SHOWN_TABLE, TABLE, training_data, write_summary

CONFIG = load_config(None, {"source.path": "history.csv"})
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def trained(daily: pd.DataFrame) -> Trained:
    return train(daily, CONFIG)


def train(frame: pd.DataFrame, config: JobConfig) -> Trained:
    outcome = train_segment("user_42_groceries", frame, config)
    assert isinstance(outcome, Trained)
    return outcome


def scored(one: Trained, segment: str, mase: float, volume: float, bias: float = 0.5) -> Trained:
    result = BacktestResult({"mase": mase, "bias": bias, "coverage": 0.8}, {"mase": 1.0})
    return replace(one, segment=segment, backtest=result, volume=volume)


def test_the_worst_and_the_largest_are_held_whatever_the_order(trained: Trained) -> None:
    """Equal figures do not make it a matter of who came first; what cannot be compared is left out."""
    drawn = np.random.default_rng(0)
    outcomes = [scored(trained, f"{number:03}", number // 4, 100 - number // 3) for number in range(100)]
    outcomes.append(replace(scored(trained, "none", 0, 0), backtest=BacktestResult()))
    for _ in range(5):
        highlights = Highlights()
        for place in drawn.permutation(len(outcomes)):
            highlights.see([outcomes[place], Failed("broken", ())])
        assert [one.segment for one in highlights.worst] == ["099", "098", "097", "096", "095", "094"]
        assert [one.segment for one in highlights.largest] == ["002", "001", "000", "005", "004", "003"]
        assert len(highlights.worst) == len(highlights.largest) == SHOWN
        assert len(highlights.relative_bias) == 100


def test_a_forecast_that_is_infinite_is_the_worst(trained: Trained) -> None:
    highlights = Highlights()
    highlights.see([scored(trained, "a", 9.0, 1.0), scored(trained, "b", float("inf"), 1.0, float("inf"))])
    assert [one.segment for one in highlights.worst] == ["b", "a"]
    assert list(highlights.relative_bias) == [0.5 * trained.rows]


def test_the_volume_is_that_of_all_rows(trained: Trained, daily: pd.DataFrame) -> None:
    assert trained.volume == pytest.approx(daily["y"].abs().sum(), rel=1e-12)


def test_a_view_shows_the_history_what_the_backtest_saw_and_what_comes(trained: Trained, daily: pd.DataFrame) -> None:
    """The forecasts at cutoffs are those that the metrics are of."""
    view = view_of(trained, CONFIG.backtest)
    assert view.y == pytest.approx(daily["y"].to_numpy()[-56:], rel=1e-14)
    assert list(view.ds) == list(daily["ds"].to_numpy()[-56:])
    assert view.future is not None
    assert list(view.future.ds) == list(pd.date_range("2024-04-30", periods=14))
    assert (view.future.ahead.lower < view.future.ahead.yhat).all()
    y, errors = daily.set_index("ds")["y"], []
    for cutoff, curve in zip(trained.backtest.cutoffs, view.backtests, strict=True):
        errors.append(mase(y[curve.ds].to_numpy(), curve.ahead.yhat, y[:cutoff].to_numpy(), 7))
    assert np.mean(errors) == pytest.approx(trained.backtest.metrics["mase"], rel=1e-9)
    assert view.caption.startswith(f"MASE {trained.backtest.metrics['mase']:.2f} · seasonal naive ")


def test_a_model_that_needs_columns_shows_its_backtest_alone(daily: pd.DataFrame) -> None:
    """Nobody knows them for the future."""
    config = load_config(None, {"source.path": "a.csv", "model.regressors": [{"name": "price"}]})
    view = view_of(train(daily.assign(price=np.arange(len(daily)) % 5), config), config.backtest)
    assert (view.future, view.lacking, len(view.backtests)) == (None, ("price",), 3)


def test_a_history_too_short_for_a_backtest_has_a_view(daily: pd.DataFrame) -> None:
    view = view_of(train(daily[:9], CONFIG), CONFIG.backtest)
    assert (len(view.y), view.backtests, view.caption) == (9, (), "not backtested")


def summary_of(folder: Path, *outcomes: Trained | Failed) -> tuple[list[str], Ledger]:
    ledger, highlights = Ledger(map(reported, outcomes)), Highlights()
    highlights.see(outcomes)
    return write_summary(JobReport(ledger, 1.0, "run"), highlights, CONFIG, folder), ledger


def test_the_summary_has_every_segment_and_its_plots(trained: Trained, tmp_path: Path) -> None:
    """Keys in any script, one that matplotlib would read as mathematics, numbers that JSON does not have."""
    keys = ["$x_1", "ключ 🍎", "k" * 200, "a/b:c"]
    outcomes = [scored(trained, key, place / 3, 10.0**place) for place, key in enumerate(keys)]
    infinite = scored(trained, "infinite", float("inf"), 0.0, float("inf"))
    failed = Failed("half \ud800", (Fault("broken", "It broke."), Fault("twice", "Once more.")))
    notes, ledger = summary_of(tmp_path, trained, *outcomes, infinite, failed)
    assert notes == []
    for name in ("distributions", "worst", "largest"):
        assert (tmp_path / "plots" / f"{name}.png").read_bytes().startswith(PNG)
    table = pq.read_table(tmp_path / TABLE).to_pylist()
    assert [row["segment"] for row in table] == [report.segment.replace("\ud800", "\\ud800") for report in ledger]
    by_name = {row["segment"]: row for row in table}
    own = by_name[trained.segment]
    assert own["mase"] == trained.backtest.metrics["mase"]
    assert own["baseline_mase"] == trained.backtest.baseline["mase"]
    assert own["stock_mase"] == trained.stock["mase"]
    assert own["rows"] == 120
    assert by_name["half \\ud800"]["faults"] == "It broke. Once more."
    assert by_name["half \\ud800"]["mase"] is None
    shown = json.loads((tmp_path / SHOWN_TABLE).read_text(encoding="utf-8"), parse_constant=pytest.fail)
    firsts = [row[shown["columns"].index("segment")] for row in shown["data"]]
    assert (firsts[0], firsts[-1], len(firsts)) == ("infinite", "half \\ud800", 7)
    assert json.loads((tmp_path / "report.json").read_text())["notes"] == []


def test_the_table_for_people_has_the_worst_thousand(tmp_path: Path) -> None:
    reports = (SegmentReport(f"{number:04}", "trained", metrics={"mase": number / 7}) for number in range(1200))
    write_summary(JobReport(Ledger(reports), 1.0), Highlights(), CONFIG, tmp_path)
    shown = json.loads((tmp_path / SHOWN_TABLE).read_text())
    assert [row[0] for row in shown["data"]] == [f"{number:04}" for number in reversed(range(200, 1200))]
    assert pq.read_metadata(tmp_path / TABLE).num_rows == 1200


def test_a_job_without_a_model_has_a_summary_too(tmp_path: Path) -> None:
    assert summary_of(tmp_path, Failed("a", ()))[0] == []
    assert list((tmp_path / "plots").iterdir()) == []


def test_what_cannot_be_drawn_is_noted_and_costs_nothing_else(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at a bad moment, say."""
    monkeypatch.setattr("training.plots._save", lambda *_: (tmp_path / "no" / "folder").touch())
    [note], _ = summary_of(tmp_path, trained)
    assert note.startswith("The job's plots could not be made: FileNotFoundError: ")
    assert json.loads((tmp_path / "report.json").read_text())["notes"] == [note]
    assert (tmp_path / TABLE).exists()


def test_mlflow_is_told_of_the_source_without_its_password(daily: pd.DataFrame) -> None:
    from training.dataset import Fingerprint

    read = Fingerprint()
    read.add(daily.assign(segment="a"))
    query = {"source.query": "select 1", "source.url": "postgresql://me:secret@host/shop?password=secret"}
    data = training_data(load_config(None, query | {"source.columns.y": "sold"}), read.dataset, 1)
    assert (data.name, data.kind, data.digest) == ("query", "sql", read.dataset.digest)
    assert data.place == {"url": "postgresql://me@host/shop", "query": "select 1"}
    assert data.columns == {"ds": "date", "sold": "number", "segment": "text"}
    assert data.profile == {"num_rows": 120, "num_segments": 1}
    file = training_data(CONFIG, read.dataset, 1)
    assert (file.name, file.kind, file.place) == ("history.csv", "local", {"uri": str(Path("history.csv").absolute())})
