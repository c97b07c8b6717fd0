"""How a job tells how far it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_LONGEST_KEY = 24  # of a segment, beside the bar


class Advance(Protocol):
    """What a job calls: once with the number of segments, then once a segment."""

    def start(self, total: int) -> None: ...

    def advance(self, segment: str, ok: bool) -> None: ...


class Silent:
    """Tells nobody."""

    def start(self, total: int) -> None:
        """Take note of nothing."""

    def advance(self, segment: str, ok: bool) -> None:
        """Take note of nothing."""


class Bar:
    """A bar with the rate, the time left, and how many segments failed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("reading", total=None, failed="", segment="")
        self._failed = 0

    def start(self, total: int) -> None:
        """Set the number of segments that the bar counts to."""
        self._progress.update(self._task, description="training", total=total)

    def advance(self, segment: str, ok: bool) -> None:
        """Move the bar by one segment."""
        self._failed += not ok
        failed = f"{self._failed} failed" if self._failed else ""
        self._progress.update(self._task, advance=1, failed=failed, segment=segment[:_LONGEST_KEY])


@contextmanager
def progress_on_terminal() -> Iterator[Advance]:
    """A bar on stderr if that is a terminal, else silence."""
    if not sys.stderr.isatty():
        yield Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}", style="red"),
        TextColumn("{task.fields[segment]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress)


class _Rate(ProgressColumn):
    """Segments a second, over the last while."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "-/s")
