"""How a job grows: what a further segment takes, the line to 100,000 of them, and which growth misses the bar."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks import scale
from benchmarks.jobs import _tree_bytes, _watched

SMALL = scale.Size(200, 12.0, 18.0, 10**9, 5 * 10**6, 1000, 10**7, 10**7)
MIDDLE = replace(SMALL, segments=2_000, seconds=30.0, cpu=54.0)  # 10 and 20 ms a further segment


def larger(seconds: float) -> scale.Size:
    """A job whose further segments take so long."""
    return replace(MIDDLE, segments=20_000, seconds=MIDDLE.seconds + 18_000 * seconds, cpu=MIDDLE.cpu + 360.0)


@pytest.mark.parametrize(("seconds", "meets"), [(0.0050, True), (0.0100, True), (0.0114, True), (0.0116, False)])
def test_growth_is_linear_while_a_further_segment_takes_what_it_took(seconds: float, meets: bool) -> None:
    """Within 15 %; what every job starts with counts for nothing, and faster is no fault."""
    memory, wall, cpu = scale._rows([SMALL, MIDDLE, larger(seconds)])
    assert (wall.ours, wall.theirs, wall.meets) == (pytest.approx(1000 * seconds), 10.0, meets)
    assert (cpu.ours, cpu.theirs, cpu.meets) == (20.0, 20.0, True)
    assert (memory.ours, memory.meets) == (1.0, True)


def test_memory_is_held_to_its_bound() -> None:
    """That of the largest job."""
    [row] = scale._rows([SMALL, replace(MIDDLE, peak=4 * 10**9 + 10**7)])
    assert not row.meets


def test_the_extrapolation_goes_on_as_the_last_step_went() -> None:
    """A straight line through the two largest jobs, for every figure; a peak that stayed stays."""
    last = replace(larger(0.01), peak=MIDDLE.peak, files=100_000, file_bytes=10**9)
    far = scale._extrapolated(replace(MIDDLE, files=10_000, file_bytes=10**8), last)
    assert (far.segments, far.files, far.file_bytes) == (100_000, 500_000, 5 * 10**9)
    assert (far.seconds, far.peak) == (pytest.approx(last.seconds + 800.0), last.peak)


def test_the_table_has_a_line_a_size_and_one_for_what_was_not_run() -> None:
    """A quick run has not been far enough for that."""
    sizes = [SMALL, MIDDLE, larger(0.01)]
    lines = scale._table(sizes, far=True).splitlines()
    assert len(lines) == 6
    assert lines[3].startswith("| 2,000 | 30.0 | 66.7 | 10.00 | 54.0 | 20.00 |")
    assert lines[5].startswith("| 100,000 (extrapolated) | 1,010.0 |")
    assert len(scale._table(sizes, far=False).splitlines()) == 5


def test_a_job_is_watched_until_it_ends_with_all_that_its_children_used() -> None:
    """The size of the whole family while it is there; at the end the exit status and the processor time."""
    child = "y = b'y' * 10**8; print('there', flush=True); input()"
    job = f"import subprocess, sys; x = b'x' * 10**8; subprocess.run([sys.executable, '-c', {child!r}]); sys.exit(3)"
    with subprocess.Popen([sys.executable, "-c", job], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        assert _tree_bytes(process.pid) > 2 * 10**8
        process.stdin.write(b"\n")
        process.stdin.flush()
        status, usage, _ = _watched(process.pid)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 3
    assert usage.ru_utime > 0
    assert _tree_bytes(process.pid) == 0, "it is gone"
