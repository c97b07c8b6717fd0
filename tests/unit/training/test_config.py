"""The configuration is read once and refuses what it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from training.config import JobConfig, load_config
from training.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def fault_of(path: Path | None, overrides: dict[str, object] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides or {})
    return str(caught.value)


def test_a_file_and_flags_are_laid_over_each_other(tmp_path: Path) -> None:
    path = write(
        tmp_path, "source: {path: a.csv, columns: {segment: user}}\nbacktest: {cutoffs: 2, horizon: 5}\ngate:\n"
    )
    config = load_config(
        path, {"backtest.cutoffs": 4, "backtest.horizon": None, "gate.min_coverage": 0.5, "workers": 2}
    )
    assert (config.backtest.cutoffs, config.backtest.horizon) == (4, 5)
    assert config.source.columns.segment == "user"
    assert config.gate.min_coverage == 0.5
    assert config.gate.max_mase_ratio == 1.10
    assert config.workers == 2


def test_flags_alone_are_enough() -> None:
    assert load_config(None, {"source.path": "a.csv"}).source.path == Path("a.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("backtst: {cutoffs: 2}", "backtst: there is no such key; did you mean 'backtest'?"),
        ("backtest: {cutofs: 2}", "backtest.cutofs: there is no such key; did you mean 'cutoffs'?"),
        ("source: {path: a.csv, columns: {date: d}}", "columns.date: there is no such key; there are segment, ds, y"),
        ("model: {growht: flat}", "model.growht: there is no such key; did you mean 'growth'?"),
        ("model: {seasonalities: [{name: m, peroid: 30, period: 3, fourier_order: 5}]}", "did you mean 'period'?"),
        ("backtest: {cutoffs: many}", "backtest.cutoffs: Input should be a valid integer"),
        ("backtest: {horizon: 0}", "backtest.horizon"),
        ("gate: {min_coverage: 80}", "gate.min_coverage"),
        ("checks: {duplicates: drop}", "'error', 'sum', 'mean' or 'last' (got 'drop')"),
        ("checks: {freq: fortnight}", "'fortnight' is not a frequency"),
        ("source: {path: a.csv, url: 'sqlite://', query: x}", "either path"),
        ("source: {url: 'sqlite://'}", "url and query go together"),
        ("source: {path: a.csv, columns: {ds: y}}", "three different columns"),
        ("[1, 2]", "must hold keys and values, not a list"),
        ("a: b: c", "is not YAML"),
    ],
)
def test_a_fault_names_its_key_and_what_was_meant(tmp_path: Path, text: str, said: str) -> None:
    overrides: dict[str, object] = {} if text.startswith(("source", "[")) else {"source.path": "a.csv"}
    assert said in fault_of(write(tmp_path, text), overrides)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    said = fault_of(write(tmp_path, "source: {path: a.csv}\nworker: 2\nbacktest: {cutoffs: -1}\n"))
    assert "worker: there is no such key; did you mean 'workers'?" in said
    assert "backtest.cutoffs" in said


def test_a_job_needs_a_history(tmp_path: Path) -> None:
    assert "source.path" in fault_of(None)
    assert "source.path" in fault_of(write(tmp_path, ""))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "nowhere.yaml" in fault_of(tmp_path / "nowhere.yaml")


def test_the_configuration_is_frozen() -> None:
    config = load_config(None, {"source.path": "a.csv"})
    with pytest.raises(ValidationError, match="frozen"):
        config.workers = 3  # type: ignore[misc]


def test_a_database_url_is_not_shown(tmp_path: Path) -> None:
    config = load_config(None, {"source.url": "postgresql://me:secret@host/db", "source.query": "select 1"})
    assert "secret" not in repr(config)
    assert "secret" not in fault_of(write(tmp_path, "source: {url: 'postgresql://me:secret@host/db'}"))


def test_every_key_has_a_default_but_the_source() -> None:
    assert [name for name, field in JobConfig.model_fields.items() if field.is_required()] == ["source"]
