"""Hints get from any process of a host to its syncer, once each, and never become many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving.hints import Hints


def test_hints_are_taken_once_and_in_order(tmp_path: Path) -> None:
    """By whoever is the syncer; a segment that was named twice is one."""
    ours, theirs = Hints(tmp_path / "hints"), Hints(tmp_path / "hints")
    assert not theirs.waiting
    for segment in ("a", "b\nc", "a", "ü", "d"):
        assert ours.add(segment)
    assert theirs.waiting
    assert theirs.take(2) == ["a", "b\nc"]
    assert ours.take(9) == ["ü", "d"]
    assert (theirs.take(9), theirs.waiting) == ([], False)


def test_there_are_never_many(tmp_path: Path) -> None:
    """Who leaves more is told, until some are taken."""
    hints = Hints(tmp_path / "hints")
    left = sum(hints.add("x" * 1000) for _ in range(1000))
    assert 0 < left < 200
    assert (tmp_path / "hints").stat().st_size < 2**18
    hints.take(50)
    assert hints.add("y")


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    """As after a crash in the middle of a line."""
    (tmp_path / "hints").write_bytes(b'"a"\n"b\n\xff\n"c"')
    assert Hints(tmp_path / "hints").take(9) == ["a", "c"]


def test_none_is_lost_between_those_who_leave_and_the_one_who_takes(tmp_path: Path) -> None:
    """In threads and, as the files are opened twice, as if in processes."""
    ours, theirs = Hints(tmp_path / "hints"), Hints(tmp_path / "hints")
    found: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        added = [pool.submit((ours, theirs)[number % 2].add, str(number)) for number in range(2000)]
        while not all(one.done() for one in added):
            found += ours.take(7)
    found += theirs.take(5000)
    assert sorted(map(int, found)) == list(range(2000))
