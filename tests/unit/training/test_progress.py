"""Progress is shown on a terminal and nowhere else."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from training.progress import Bar, Silent, progress_on_terminal


def test_a_pipe_sees_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_on_terminal() as progress:
        assert isinstance(progress, Silent)
        progress.start(2)
        progress.advance("a", True)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress_on_terminal() as progress:
        progress.start(2)
        progress.advance("[red]a", True)
        progress.advance("b", False)
    assert "2/2" in capsys.readouterr().err


def test_the_bar_counts_what_failed() -> None:
    bar = Bar(Progress(console=Console(file=io.StringIO())))
    bar.start(3)
    bar.advance("a", True)
    bar.advance("b" * 50, False)
    task = bar._progress.tasks[0]
    assert (task.completed, task.total, task.fields["failed"]) == (2, 3, "1 failed")
