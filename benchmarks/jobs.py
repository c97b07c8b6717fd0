"""What the benchmarks of training share: stores of either kind, and `prophetctl train` with a watch on its memory."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from benchmarks import postgres
from registry.registry import Registry

STORES = ("sqlite", "postgresql")
_SAMPLE_SECONDS = 1.0  # seldom enough not to be part of what is measured


@dataclass(frozen=True)
class Store:
    """An empty MLflow store with its tables made, which takes MLflow seconds; its files go to a folder of ours."""

    uri: str
    files: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to write to it."""
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": self.files.as_uri(),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def database_bytes(self) -> int:
        """What the tables take on disk."""
        if self.uri.startswith("sqlite"):
            path = Path(self.uri.removeprefix("sqlite:///"))
            return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
        with sa.create_engine(self.uri, poolclass=sa.NullPool).connect() as connection:
            return int(connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())

    def artifacts(self) -> tuple[int, int, int]:
        """How many files of models there are, their bytes, and the bytes that they take on disk."""
        found = [entry.stat() for entry in _files(self.files)]
        return len(found), sum(file.st_size for file in found), sum(512 * file.st_blocks for file in found)


@dataclass(frozen=True)
class Ran:
    """A job that ended well. cpu_seconds, peak_bytes: of all its processes, each shared page counted once."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    report: Mapping[str, Any]


@contextlib.contextmanager
def empty_store(kind: str) -> Iterator[Store]:
    """A store in SQLite or in PostgreSQL, which is gone after the with block."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prophet-serving-store-")))
        uri = f"sqlite:///{folder}/mlflow.db"
        if kind == "postgresql":
            uri = stack.enter_context(postgres.database(stack.enter_context(postgres.server())))
        registry = Registry(uri)
        registry.ping()
        yield Store(uri, folder / "files")


def train(path: Path, store: Store, options: Sequence[str] = ()) -> Ran:
    """Run `prophetctl train` on a source; every segment must be promoted. Raises RuntimeError with what it said."""
    with tempfile.TemporaryDirectory(prefix="prophet-serving-job-") as folder:
        told, log = Path(folder) / "report.json", Path(folder) / "log"
        command = [sys.executable, "-m", "cli", "train", "--path", str(path), "--report", str(told), *options]
        started = time.perf_counter()
        with log.open("w") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **store.environment}, start_new_session=True
            )
        try:
            status, usage, peak = _watched(process.pid)
            process.returncode = os.waitstatus_to_exitcode(status)  # which Popen could not see any more
            seconds = time.perf_counter() - started
        finally:
            _kill(process)
        if process.returncode != 0:
            raise RuntimeError(f"the job ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        return Ran(seconds, usage.ru_utime + usage.ru_stime, peak, json.loads(told.read_text(encoding="utf-8")))


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(Path(entry.path))
            else:
                yield entry


def _tree_bytes(pid: int) -> int:
    """The proportional set size of a process and all below it; what ends meanwhile counts no more."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        job = psutil.Process(pid)
        for process in (job, *job.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().pss
    return total


def _watched(pid: int) -> tuple[int, resource.struct_rusage, int]:
    """Wait for a process: its exit status, what it and the children that it waited for used, their largest size."""
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        peak = pool.submit(_peak_bytes, pid, over)
        try:
            _, status, usage = os.wait4(pid, 0)
        finally:
            over.set()
    return status, usage, peak.result()


def _peak_bytes(pid: int, over: threading.Event) -> int:
    """The largest size of a process and all below it, until they are over."""
    peak = _tree_bytes(pid)
    while not over.wait(_SAMPLE_SECONDS):
        peak = max(peak, _tree_bytes(pid))
    return peak


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a job that is still there, as after Ctrl-C; its workers end with it."""
    if process.returncode is None:
        process.kill()
        process.wait()
