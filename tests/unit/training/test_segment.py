"""One segment goes in as a table and comes out trained or failed, never as an exception."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from forecasting import prophet_model
from forecasting.errors import FitError
from training import segment as room
from training.config import JobConfig, load_config
from training.segment import Failed, Trained, train_segment


@pytest.fixture
def config() -> JobConfig:
    return load_config(None, {"source.path": "a.csv", "backtest.cutoffs": 1})


@pytest.fixture
def table() -> pd.DataFrame:
    ds = pd.date_range("2024-01-01", periods=40)
    values = np.random.default_rng(0).normal(10, 1, 40)
    return pd.DataFrame({"ds": ds.astype(str), "y": values}, index=range(100, 140))


def test_a_sound_table_comes_out_fitted_and_backtested(table: pd.DataFrame, config: JobConfig) -> None:
    trained = train_segment("a", table, config)
    assert isinstance(trained, Trained)
    assert (trained.freq, trained.rows, trained.trained_through) == ("D", 40, pd.Timestamp("2024-02-09"))
    assert trained.backtest.metrics["mase"] > 0
    assert prophet_model.from_json(trained.model_json).history is not None
    assert "the frequency D was inferred" in trained.notes


def test_faults_speak_of_the_rows_of_the_source(table: pd.DataFrame, config: JobConfig) -> None:
    failed = train_segment("a", table.astype({"y": object}).replace({"y": {table["y"].iloc[3]: "x"}}), config)
    assert isinstance(failed, Failed)
    assert failed.faults[0].rows == (103,)


@pytest.mark.parametrize(
    ("error", "code"), [(FitError("no", "cmdstan said so"), "fit_failed"), (MemoryError("full"), "unexpected_error")]
)
def test_a_fit_that_fails_is_a_fault_with_its_reason(
    table: pd.DataFrame, config: JobConfig, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(room, "choose", failing)
    failed = train_segment("a", table, config)
    assert isinstance(failed, Failed)
    assert failed.faults[0].code == code
    assert str(error) in failed.faults[0].message


def test_caps_are_read_only_for_logistic_growth(table: pd.DataFrame) -> None:
    capped = table.assign(cap=50.0)
    linear = load_config(None, {"source.path": "a.csv", "model.regressors": [{"name": "temp"}]}).model
    logistic = load_config(None, {"source.path": "a.csv", "model.growth": "logistic"}).model
    assert room.extra_columns(linear, capped) == ("temp",)
    assert room.extra_columns(logistic, capped) == ("cap",)


def test_outcomes_cross_processes(table: pd.DataFrame, config: JobConfig) -> None:
    outcome = train_segment("a", table.iloc[:1], config)
    assert pickle.loads(pickle.dumps(outcome)) == outcome
