"""Lists of segments: any key reads back, and a job trains what is listed and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import cli
from training.config import JobConfig, load_config
from training.errors import ConfigError
from training.job import open_source, training_of
from training.segment import Outcome
from training.segment_list import read_list, write_list
from training.spool import Chunk

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(keys=st.lists(KEYS, unique=True))
def test_any_key_reads_back(tmp_path_factory: pytest.TempPathFactory, keys: list[str]) -> None:
    path = tmp_path_factory.mktemp("list") / "again.txt"
    write_list(path, keys)
    assert read_list(path) == {key for key in keys if key.strip()} | {key for key in keys if not key.strip()}
    assert path.read_text(encoding="utf-8").count("\n") == len(keys)


def test_an_ordinary_key_is_written_as_it_is(tmp_path: Path) -> None:
    """For people, and for grep; an empty line is none."""
    path = tmp_path / "again.txt"
    write_list(path, ["user_42_food", "Käse & Brot", ' "x"', "a\nb"])
    assert path.read_text(encoding="utf-8") == 'user_42_food\nKäse & Brot\n" \\"x\\""\n"a\\nb"\n'
    path.write_text("\ufeffa\r\n\r\n  b  \n")
    assert read_list(path) == {"a", "b"}


def test_a_list_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text('"no end\n')
    for path in (tmp_path / "none", broken):
        with pytest.raises(ConfigError, match="cannot read the list of segments"):
            read_list(path)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "history.csv"
    rows = [f"{key},2024-01-{day:02},{day}\n" for key in ("a*", "ab", "c") for day in range(1, 31)]
    path.write_text("segment,ds,y\n" + "".join(rows))
    return path


class NoEngine:
    """Trains nothing, and says nothing of it."""

    workers = 1

    def train_all(self, chunks: Iterator[Chunk]) -> Iterator[Sequence[Outcome]]:
        yield from ([] for _ in chunks)


def config(history: Path, listed: list[str], **more: object) -> JobConfig:
    path = history.with_suffix(".txt")
    write_list(path, listed)
    return load_config(None, {"source.path": history, "segments_from": path, **more})


def test_a_job_trains_what_is_listed_by_its_very_name(history: Path) -> None:
    """A star in a key is no pattern; patterns choose among what is listed."""

    def found(listed: list[str], left_out: tuple[str, ...] = (), **more: object) -> list[str]:
        with open_source(config(history, listed, **more), left_out) as opened:
            return [segment for chunk in opened.chunks(10) for segment in chunk.segments]

    assert found(["a*"]) == ["a*"]
    assert found(["ab", "c"], segments=("a*",)) == ["ab"]
    assert found(["ab", "c"], left_out=("ab",)) == ["c"]
    assert found([]) == []


def test_what_is_listed_and_not_there_has_failed(history: Path) -> None:
    """But not what a resumed job has done already."""
    asked = config(history, ["gone", "c", "done"])
    with open_source(asked, ("done",)) as opened:
        outcomes = [one for chunk in training_of(NoEngine(), opened, asked).outcomes for one in chunk]
    assert [(one.segment, [fault.code for fault in one.faults]) for one in outcomes] == [("gone", ["missing_rows"])]


def test_retrain_wants_to_know_what(history: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    asked = ["retrain", "--path", str(history), "--tracking-uri", store]
    done = CliRunner().invoke(cli.app, asked)
    assert done.exit_code == 2
    assert "--segments-from" in done.output
