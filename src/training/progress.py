"""How a job tells how far it is."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

_LONGEST_KEY = 24  # of a segment, beside the bar
_REMEMBERED = 20  # chunks that the pace is measured over


class Advance(Protocol):
    """What a job calls: once with the number of segments, then once a chunk."""

    def start(self, total: int) -> None: ...

    def advance(self, segments: Mapping[str, bool]) -> None:
        """Take note of a chunk's segments, each with whether it was trained."""


class Silent:
    """Tells nobody."""

    def start(self, total: int) -> None:
        """Take note of nothing."""

    def advance(self, segments: Mapping[str, bool]) -> None:
        """Take note of nothing."""


class Bar:
    """A bar with the rate, the time left, and how many segments failed.

    The rate is that of the last chunks together, from end to end: segments come in by hundreds at once, and between
    two of those moments nothing is known. The time left runs on meanwhile.
    """

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._clock = clock
        self._total, self._done, self._failed = 0, 0, 0
        self._moments: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED + 1)  # when how many were done
        self._task = progress.add_task("reading", total=None, pace=self.pace, failed="", segment="")

    def start(self, total: int) -> None:
        """Set the number of segments that the bar counts to."""
        self._total = total
        self._moments.append((self._clock(), 0))
        self._progress.update(self._task, description="training", total=total)

    def advance(self, segments: Mapping[str, bool]) -> None:
        """Move the bar by a chunk."""
        self._done += len(segments)
        self._failed += list(segments.values()).count(False)
        self._moments.append((self._clock(), self._done))
        failed = f"{self._failed} failed" if self._failed else ""
        *_, last = ("", *segments)
        self._progress.update(self._task, completed=self._done, failed=failed, segment=last[:_LONGEST_KEY])

    def pace(self) -> str:
        """Segments a second and the time left, as of now."""
        if len(self._moments) < 2:
            return ""
        (began, before), (last, done) = self._moments[0], self._moments[-1]
        rate = (done - before) / max(last - began, 1e-9)
        left = max(0.0, (self._total - done) / rate - (self._clock() - last))
        return f"{rate:.1f}/s, {timedelta(seconds=round(left))} left"


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
        _Pace(),
        TextColumn("{task.fields[failed]}", style="red"),
        TextColumn("{task.fields[segment]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress)


class _Pace(ProgressColumn):
    """What the bar says of its pace, asked anew each time it is drawn."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["pace"]())
