"""The gate beside champions that a real registry serves, however they came there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from prophet import Prophet
from typer.testing import CliRunner

from cli import app
from forecasting.configuration import Configuration
from forecasting.recipe import STOCK
from forecasting.spec import ProphetSpec
from registry.errors import RegistryUnavailable
from registry.log import JobLog
from registry.names import model_name
from registry.registry import Registry
from tests.integration.test_bulk_contract import tables_of
from training.champions import CONFIGURATION_TAG, Champions
from training.config import JobConfig, load_config
from training.ledger import SegmentReport
from training.segment import Trained, train_chunk, train_segment
from training.settle import foresee, settle
from training.spool import Chunk

KEY = "shop/ä 100%"
SIGNATURE = ModelSignature(Schema([ColSpec("datetime", "ds")]), Schema([ColSpec("double", "yhat")]))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    day = np.arange(80)
    noise = np.random.default_rng(3).normal(0, 1.0, day.size)
    y = 30 + 0.1 * day + 4 * np.sin(2 * np.pi * day / 7) + noise
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=day.size), "y": y, "price": noise})


def config_of(**overrides: object) -> JobConfig:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(None, {"source.path": Path("none.csv"), "recipe": "stock", **dotted})


def chunk_of(table: pd.DataFrame) -> Chunk:
    """One segment, read and parted by hand."""
    return Chunk((KEY,), np.array([0, len(table)]), table)


def job(registry: Registry, config: JobConfig, table: pd.DataFrame) -> SegmentReport:
    """Train, gate and register one segment, without an engine."""
    champions = Champions(registry, config)
    with JobLog(registry, "job", {}) as log:
        [chunk] = champions.beside([chunk_of(table)])
        [report] = settle(train_chunk(chunk, config), config, champions, log)
    return report


def mase_of(configuration: Configuration, table: pd.DataFrame) -> float:
    """What a configuration's backtest on a table gives, found without any champion."""
    model = {f"model__{name}": value for name, value in configuration.model.model_dump().items()}
    trained = train_segment(KEY, table, config_of(**model))
    assert isinstance(trained, Trained)
    assert trained.configuration == configuration
    return trained.backtest.metrics["mase"]


@pytest.fixture
def notebook() -> Callable[[Registry, Prophet, pd.DataFrame], None]:
    """Makes a Prophet the champion as a data scientist does, with none of our code."""

    def log(registry: Registry, prophet: Prophet, table: pd.DataFrame) -> None:
        mlflow.set_tracking_uri(registry.uri)
        mlflow.set_registry_uri(registry.uri)
        # Not by set_experiment, which would hold for every test after this one.
        with mlflow.start_run(experiment_id=registry.client.create_experiment("notebook")):
            mlflow.prophet.log_model(
                prophet.fit(table),
                name="model",
                signature=SIGNATURE,
                pip_requirements=["prophet==1.5.0"],
                registered_model_name=model_name(KEY),
            )
        registry.client.set_registered_model_alias(model_name(KEY), "champion", "1")

    return log


def test_the_same_configuration_is_told_from_others_by_a_tag_and_others_are_backtested_again(
    both_stores: Registry, table: pd.DataFrame
) -> None:
    """A first version, the same with newer rows, and one by another recipe."""
    first = job(both_stores, config_of(), table[:70])
    assert (first.decision, first.reasons[0]) == ("promote", "There is no champion yet.")
    again = job(both_stores, config_of(), table)
    assert again.decision == "promote"
    assert again.reasons[0].startswith("Champion 1 came about by the same configuration")
    other = job(both_stores, config_of(recipe="damped-average", gate__max_mase_ratio=0.01), table)
    assert other.decision == "hold"
    assert "is worse than the configuration of champion 2 on the same cutoffs" in other.reasons[0]
    # The champion's configuration is stock Prophet, whose metrics are in the table anyway.
    assert f"against {other.stock['mase']:.3f}, at most {other.stock['mase'] / 100:.3f} allowed" in other.reasons[0]
    assert other.stock["mase"] != first.metrics["mase"], "or a recorded figure would do"
    assert both_stores.aliases(KEY) == {"champion": 2, "challenger": 3}
    assert both_stores.version(KEY, 3).tags["gate.reasons"] == " ".join(other.reasons)


def test_a_champion_of_a_notebook_is_fitted_again_by_its_own_settings(
    both_stores: Registry, table: pd.DataFrame, notebook: Callable[..., None]
) -> None:
    """Which stand in its own JSON; on the rows and cutoffs of the job."""
    prophet = Prophet(changepoint_prior_scale=0.7, weekly_seasonality=2)
    notebook(both_stores, prophet, table[:60])
    report = job(both_stores, config_of(), table)
    spec = ProphetSpec(changepoint_prior_scale=0.7, weekly_seasonality=2)
    theirs = mase_of(Configuration(model=spec, recipes=(STOCK,)), table)
    assert (
        f"the configuration of champion 1 on the same cutoffs: MASE {report.metrics['mase']:.3f}" in report.reasons[0]
    )
    assert f"against {theirs:.3f}" in report.reasons[0]


@pytest.mark.parametrize(("recorded", "decision"), [("0.001", "hold"), ("1000", "promote"), (None, "promote")])
def test_a_champion_that_this_table_cannot_make_again_counts_by_what_it_recorded(
    registry: Registry,
    table: pd.DataFrame,
    notebook: Callable[..., None],
    recorded: str | None,
    decision: str,
) -> None:
    """And where it recorded nothing, a warning says so."""
    prophet = Prophet()
    prophet.add_regressor("price")
    notebook(registry, prophet, table)
    if recorded:
        registry.client.set_model_version_tag(model_name(KEY), "1", "metric.mase", recorded)
    report = job(registry, config_of(), table)
    assert report.decision == decision
    assert "it needs the regressor 'price', which this job does not read" in report.reasons[0]
    assert report.reasons[0].startswith("Warning") is (recorded is None)


@pytest.mark.parametrize(
    ("tag", "reason"),
    [("{", "cannot be read"), ('{"recipes": [{"name": "x", "novelty": 1}]}', "recipes.0.novelty"), (None, "before")],
)
def test_a_configuration_that_cannot_be_read_is_no_hurdle_and_the_recorded_figure_counts(
    registry: Registry, table: pd.DataFrame, tag: str | None, reason: str
) -> None:
    """Such as a later version of this code may write, or an earlier one did not."""
    job(registry, config_of(), table)
    if tag is None:
        registry.client.delete_model_version_tag(model_name(KEY), "1", CONFIGURATION_TAG)
    else:
        registry.client.set_model_version_tag(model_name(KEY), "1", CONFIGURATION_TAG, tag)
    report = job(registry, config_of(), table)
    assert report.decision == "promote"
    assert "what champion 1 recorded of its own backtest" in report.reasons[0]
    assert reason in report.reasons[0]


def test_a_configuration_that_fails_on_this_history_costs_the_new_version_nothing(
    registry: Registry, table: pd.DataFrame
) -> None:
    """Here one with a name that Prophet reserves."""
    job(registry, config_of(), table)
    broken = (
        '{"model": {"seasonalities": [{"name": "yhat", "period": 7, "fourier_order": 1}]}, "recipes": [{"name": "x"}]}'
    )
    registry.client.set_model_version_tag(model_name(KEY), "1", CONFIGURATION_TAG, broken)
    report = job(registry, config_of(), table)
    assert report.decision == "promote"
    assert "it was not backtested here" in report.reasons[0]
    assert any("the name 'yhat' is reserved" in note for note in report.notes)


def test_an_exploding_forecast_is_registered_and_not_served(registry: Registry, table: pd.DataFrame) -> None:
    """Even where nothing else serves: a trend that follows the last rows straight up."""
    quiet = np.random.default_rng(1).normal(0, 0.01, 20)
    soaring = pd.DataFrame({"ds": table["ds"][:24], "y": np.r_[quiet, 1.0, 2.0, 4.0, 8.0]})
    wild = {"changepoint_prior_scale": 1.0, "changepoint_range": 1.0, "n_changepoints": 22}
    report = job(registry, config_of(model=wild, backtest__cutoffs=0, backtest__horizon=24), soaring)
    assert (report.status, report.decision, report.version) == ("held", "hold", 1)
    assert "leaves the history's range by" in report.reasons[0]
    assert registry.aliases(KEY) == {"challenger": 1}


def test_coverage_below_its_limit_does_not_replace_a_better_champion(registry: Registry, table: pd.DataFrame) -> None:
    """A hair's breadth of an interval, beside one of 80 %; beside another hair's breadth it is a warning."""
    job(registry, config_of(), table)
    narrow = config_of(model__interval_width=0.001)
    held = job(registry, narrow, table)
    assert held.decision == "hold"
    assert any("is below the least allowed 10%" in reason for reason in held.reasons)
    registry.promote(KEY, 2)
    again = job(registry, narrow, table)
    assert again.decision == "promote"
    assert any(reason.startswith("Warning: The interval's coverage") for reason in again.reasons)


def test_a_registry_that_did_not_answer_at_first_is_asked_again(
    registry: Registry, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk is trained without its champion, which then counts by what it recorded."""
    job(registry, config_of(), table)
    config = config_of(recipe="damped-average")
    champions = Champions(registry, config)
    with monkeypatch.context() as patched:
        patched.setattr(champions, "_look_up", _gone)
        [chunk] = champions.beside([chunk_of(table)])
    assert chunk.champions == {}
    with JobLog(registry, "job", {}) as log:
        [report] = settle(train_chunk(chunk, config), config, champions, log)
    assert (
        "recorded of its own backtest, for want of its configuration (it was not backtested here)" in report.reasons[0]
    )


def test_a_dry_run_says_what_would_be_and_leaves_every_row_as_it_was(
    both_stores: Registry, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the command, beside a champion by another recipe: one passes, one does not, one fails."""
    for config in (config_of(), config_of(model__interval_width=0.9)):
        job(both_stores, config, table)
    keys = [KEY, "new", "broken"]
    history = pd.concat([table.assign(segment=key, y=np.nan if key == "broken" else table["y"]) for key in keys])
    history.to_csv(tmp_path / "history.csv", index=False)
    before = tables_of(both_stores)
    words = ["train", "--path", str(tmp_path / "history.csv"), "--dry-run", "--recipe", "damped-average"]
    strict = tmp_path / "job.yaml"
    strict.write_text("gate: {max_mase_ratio: 0.01}\nworkers: 1\n")
    told = tmp_path / "report.json"
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(
        app, [*words, "--config", str(strict), "--report", str(told), "--tracking-uri", both_stores.uri]
    )
    assert done.exit_code == 1, done.output
    assert tables_of(both_stores) == before
    report = json.loads(told.read_text())
    decided = {one["segment"]: (one["status"], one["decision"]) for one in report["segments"]}
    assert decided == {KEY: ("held", "would hold"), "new": ("trained", "would promote"), "broken": ("failed", None)}
    assert (report["dry_run"], report["run_id"]) == (True, None)
    [held] = [one for one in report["segments"] if one["segment"] == KEY]
    assert "is worse than the configuration of champion 2 on the same cutoffs" in held["reasons"][0]
    for said in ("would hold", "is worse than the configuration of champion 2", "would promote", "no champion yet"):
        assert said in done.output
    assert "nothing is registered" in done.output


def test_a_dry_run_without_promotion_would_hold(registry: Registry, table: pd.DataFrame) -> None:
    """And says that it is not the gate's doing."""
    config = config_of(promote=False)
    [report] = foresee(train_chunk(chunk_of(table), config), config, Champions(registry, config))
    assert (report.status, report.decision) == ("held", "would hold")
    assert report.reasons[-1] == "Promotion is switched off."


def _gone(_: object) -> None:
    raise RegistryUnavailable("gone")
