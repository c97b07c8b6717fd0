"""What the command line says of engines and reports, and that what cannot be is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import cli
from training.config import JobConfig, load_config
from training.errors import ConfigError, SourceError
from training.job import open_source
from training.report import JobReport


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "history.csv"
    path.write_text("segment,ds,y\n" + "".join(f"a,2024-01-{day:02},{day}\n" for day in range(1, 31)))
    return path


def backtest(history: Path, *words: str) -> Result:
    return CliRunner().invoke(cli.app, ["backtest", "--path", str(history), "--cutoffs", "0", *words])


def test_options_name_the_engine_and_its_address(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They win over the configuration file."""
    taken: list[JobConfig] = []

    def job(config: JobConfig, *_: object) -> JobReport:
        taken.append(config)
        raise SourceError("enough")

    monkeypatch.setattr("training.job.backtest_only", job)
    file = history.with_suffix(".yaml")
    file.write_text("engine: {name: spark, address: 'spark://a:7077'}")
    for words in ([], ["--engine-address", "spark://b:7077"], ["--engine", "ray", "--engine-address", "ray://c:10001"]):
        assert backtest(history, "--config", str(file), *words).exit_code == 2
    assert [(config.engine.name, config.engine.address) for config in taken] == [
        ("spark", "spark://a:7077"),
        ("spark", "spark://b:7077"),
        ("ray", "ray://c:10001"),
    ]


def test_the_local_engine_is_the_one_that_trains(history: Path) -> None:
    done = backtest(history, "--engine", "local", "--workers", "1")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "1 segments in" in done.stdout


def test_a_report_that_cannot_be_written_is_told_of_after_the_table(history: Path) -> None:
    done = backtest(history, "--workers", "1", "--report", str(history.parent / "nowhere" / "report.json"))
    assert done.exit_code == 2
    assert "1 segments in" in done.stdout
    assert "report.json: No such file or directory" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "dask"], "engine.name: Input should be 'local', 'ray' or 'spark' (got 'dask')"),
        (["--engine-address", "ray://head:10001"], "engine: an address is for the engines ray and spark"),
    ],
)
def test_an_engine_that_cannot_be_is_a_faulty_call(history: Path, words: list[str], said: str) -> None:
    done = backtest(history, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_only_spark_may_have_its_table_handed_over() -> None:
    columns = {"source.columns.segment": "shop"}
    with pytest.raises(ConfigError, match="source: give either path"):
        load_config(None, columns)
    config = load_config(None, columns | {"engine.name": "spark"})
    with pytest.raises(SourceError, match=r"trained by training\.spark_job"):
        open_source(config)
