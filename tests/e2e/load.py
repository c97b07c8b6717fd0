"""Constant load on a service from a process of its own, every answer looked at: see tests/e2e/load_client.py."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import until

CONNECTIONS = 32
PATHS = ("/forecast", "/forecast/batch", "/forecast?inline")
_ROOT = Path(__file__).resolve().parents[2]

Known = Mapping[str, Mapping[int, list[float]]]  # segment, version: its yhat


@dataclass(frozen=True)
class Report:
    """What came of it. Connections that broke and requests that failed are counted apart.

    answers: good ones, by_path what they were asked for. served: forecasts by "segment version". dropped: requests
    whose connection broke, each asked once more. refused: inline ones told to come later. failed: everything else.
    slowest: seconds from asking to the answer, with the second try.
    """

    answers: int = 0
    by_path: Mapping[str, int] = field(default_factory=dict)
    served: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    refused: int = 0
    gone: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0


class Load:
    """Callers at work."""

    def __init__(self, process: subprocess.Popen[bytes], progress: Path) -> None:
        self._process = process
        self._progress = progress

    def report(self) -> Report:
        """So far; whole after the end."""
        return Report(**json.loads(self._progress.read_text())) if self._progress.exists() else Report()

    def go_on(self, answers: int = 300, path: str | None = None) -> None:
        """Wait until so many more were answered, of all or of those at a path."""

        def answered() -> int:
            assert self._process.poll() is None, "the callers are gone"
            report = self.report()
            return report.answers if path is None else report.by_path.get(path, 0)

        goal = answered() + answers
        until(lambda: answered() >= goal, lambda: f"{answers} more answers; so far {self.report()}")

    def end(self) -> None:
        """Let them finish what they are at."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(120) == 0


@contextlib.contextmanager
def load(url: str, known: Known, folder: Path, *, periods: int, inline: int = 2, pause: float = 0.01) -> Iterator[Load]:
    """32 connections for the length of a with block, which then have ended well.

    known: what may be served. inline: how many of them send histories; two send batches, the others lone requests.
    pause: seconds between two requests of one connection.
    """
    cases, progress = folder / "cases.json", folder / "progress.json"
    progress.unlink(missing_ok=True)
    cases.write_text(
        json.dumps(
            {
                "url": url,
                "known": known,
                "periods": periods,
                "inline": inline,
                "connections": CONNECTIONS,
                "pause": pause,
            }
        )
    )
    command = [sys.executable, "-m", "tests.e2e.load_client", str(cases), str(progress)]
    process = subprocess.Popen(command, cwd=_ROOT)
    try:
        running = Load(process, progress)
        running.go_on(CONNECTIONS)
        yield running
        running.end()
    finally:
        process.kill()
        process.wait()
