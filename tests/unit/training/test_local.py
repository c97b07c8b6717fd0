"""Segments run in processes of their own, and only the one that kills its process fails."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.unit.training.workers import chunk_of, echo_or_die
from training.config import load_config
from training.engines import local
from training.segment import Failed

CONFIG = load_config(None, {"source.path": "a.csv", "workers": 2})


def outcomes_of(*chunks: str) -> dict[str, str]:
    """Train chunks of segments that are named by single letters, or by * for the one that kills its process."""
    made = [chunk_of(*("poison" if key == "*" else key for key in keys)) for keys in chunks]
    with local.connect(CONFIG, echo_or_die) as engine:
        outcomes = [outcome for outcomes in engine.train_all(iter(made)) for outcome in outcomes]
    assert len(outcomes) == sum(map(len, chunks))
    return {outcome.segment: outcome.faults[0].code for outcome in outcomes if isinstance(outcome, Failed)}


def test_every_segment_comes_back_from_a_process_with_one_thread() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    codes = outcomes_of("abc", *"defghijkl", "mnopqrst")
    assert set(codes) == set("abcdefghijklmnopqrst")
    assert set(codes.values()) == {"1 rows, 2 workers, 1 thread"}
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_a_process_that_dies_costs_only_the_segment_that_killed_it() -> None:
    codes = outcomes_of("a", "b", "x*y", "c", "d")
    assert set(codes) == {"a", "b", "c", "d", "x", "y", "poison"}
    assert codes.pop("poison") == "worker_died"
    assert set(codes.values()) == {"1 rows, 2 workers, 1 thread"}


def test_no_segments_need_no_process() -> None:
    assert outcomes_of() == {}


def test_workers_end_when_the_job_is_killed() -> None:
    path = os.pathsep.join(part or "." for part in sys.path)
    command = [sys.executable, "-m", "tests.unit.training.workers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}) as job:
        assert job.stdout is not None
        worker = int(job.stdout.readline())
        assert is_running(worker)
        job.kill()
    deadline = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


def is_running(process: int) -> bool:
    """Whether a process is there and not just waiting to be buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
