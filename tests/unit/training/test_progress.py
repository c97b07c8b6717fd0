"""Progress is shown on a terminal and nowhere else."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from rich.progress import Progress

from training.progress import Bar, Silent, progress_on_terminal


def test_a_pipe_sees_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_on_terminal() as progress:
        assert isinstance(progress, Silent)
        progress.start(2)
        progress.advance({"a": True})
    assert capsys.readouterr() == ("", "")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_bar_counts_what_is_done_and_what_failed() -> None:
    bar = Bar(Progress(console=Console(file=io.StringIO())))
    bar.start(3)
    bar.advance({"[red]a": True, "b" * 50: False})
    task = bar._progress.tasks[0]
    assert (task.completed, task.total, task.fields["failed"]) == (2, 3, "1 failed")
    assert task.fields["segment"] == "b" * 24


def test_the_pace_is_that_of_chunks_from_end_to_end() -> None:
    """A hundred segments at once after ten seconds are ten a second, not a hundred; meanwhile time runs on."""
    clock = Clock()
    bar = Bar(Progress(console=Console(file=io.StringIO())), clock)
    assert bar.pace() == ""
    bar.start(300)
    assert bar.pace() == ""
    clock.now += 10
    bar.advance(dict.fromkeys(map(str, range(100)), True))
    assert bar.pace() == "10.0/s, 0:00:20 left"
    clock.now += 6
    assert bar.pace() == "10.0/s, 0:00:14 left"
    clock.now += 19
    assert bar.pace() == "10.0/s, 0:00:00 left"
    bar.advance(dict.fromkeys(map(str, range(100)), True))
    assert bar.pace() == "5.7/s, 0:00:18 left"


def test_the_pace_forgets_what_is_long_past() -> None:
    clock = Clock()
    bar = Bar(Progress(console=Console(file=io.StringIO())), clock)
    bar.start(10_000)
    clock.now += 1000  # the first chunk, while the engine starts
    bar.advance({"first": True})
    for number in range(20):
        clock.now += 1
        bar.advance({str(number): True})
    assert bar.pace().startswith("1.0/s, 2:46:19")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A backtest of two segments, one of them broken, by the real command."""
    history = tmp_path_factory.mktemp("history") / "history.csv"
    days = pd.date_range("2024-01-01", periods=30)
    sound = pd.DataFrame({"segment": "sound", "ds": days, "y": range(30)})
    pd.concat([sound, pd.DataFrame({"segment": "broken", "ds": days[:1], "y": 1})]).to_csv(history, index=False)
    return [sys.executable, "-m", "cli", "backtest", "--path", str(history), "--cutoffs", "0", "--workers", "1"]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src"), "TERM": "xterm", "COLUMNS": "120"}


def test_the_command_draws_a_bar_on_a_terminal(command: list[str]) -> None:
    """On a real pseudo-terminal; the table goes elsewhere."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        os.close(theirs)
        drawn = b"".join(iter(lambda: read(ours), b""))
        assert process.stdout is not None
        assert b"mean MASE" not in drawn
        assert b"2 segments in" in process.stdout.read(), drawn.decode()
    os.close(ours)
    for words in (b"reading", b"training", b"0/2", b"2/2", b"left", b"1 failed"):
        assert words in drawn, drawn.decode()


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux tells that the other side is closed
        return b""


def test_the_command_is_quiet_in_a_pipe(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"2 segments in" in done.stdout
