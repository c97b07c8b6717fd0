"""Reports are set aside and read again as they were, in the order of their keys."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from forecasting.errors import Fault
from training import ledger
from training.ledger import Ledger, SegmentReport, Status

FAULT = Fault("unparsable_number", "In column 'y', 1 value is unreadable as a number: row 3 (x).", "y", (3,), ("x",))
SOUND = SegmentReport(
    "a",
    "trained",
    3,
    "D",
    730,
    metrics={"mase": math.inf, "coverage": 0.75},
    baseline={"mase": 1.0},
    decision="promote",
    reasons=("Fine.",),
    stock={"mase": math.nan},
)


def reports(count: int, wordy: int = 1) -> list[SegmentReport]:
    """Every third one failed."""
    return [
        SegmentReport(f"{number:05}", "failed", faults=(FAULT,) * wordy)
        if number % 3 == 2
        else replace(SOUND, segment=f"{number:05}", metrics={"mase": number / 7}, stock={}, notes=("A note.",) * wordy)
        for number in range(count)
    ]


@given(st.permutations(reports(20)), st.integers(0, 20))
def test_what_comes_out_is_what_went_in_in_order(told: list[SegmentReport], cut: int) -> None:
    """Read in the middle of it, too; and the means do not depend on the order, to the bit."""
    book = Ledger(told[:cut])
    assert list(book) == sorted(told[:cut], key=lambda report: report.segment)
    book.add(told[cut:])
    assert list(book) == reports(20)
    assert list(book.having("failed")) == reports(20)[2::3]
    assert book.first(2, "trained", "held") == reports(20)[:2]
    assert (len(book), book.count("trained"), book.count("held"), book.count("failed")) == (20, 14, 0, 6)
    assert book.means("metrics") == Ledger(reports(20)).means("metrics")


def test_two_may_read_at_once() -> None:
    book = Ledger(reports(5))
    assert [(one.segment, other.segment) for one, other in zip(book, book, strict=True)] == [
        (f"{number:05}",) * 2 for number in range(5)
    ]


def test_numbers_that_are_none_are_kept_and_left_out_of_means() -> None:
    book = Ledger([SOUND, replace(SOUND, segment="b", metrics={"mase": 0.5})])
    first = book.first(1, "trained")[0]
    assert math.isinf(first.metrics["mase"])
    assert math.isnan(first.stock["mase"])
    assert book.means("metrics") == {"mase": 0.5, "coverage": 0.75}
    assert book.means("baseline") == {"mase": 1.0}
    assert book.means("stock") == {}
    assert list(book.figures("metrics", "mase")) == [math.inf, 0.5]
    assert len(book.figures("metrics", "unheard of")) == 0


def test_an_empty_ledger_has_nothing() -> None:
    statuses: tuple[Status, ...] = ledger.STATUSES
    assert (list(Ledger()), len(Ledger()), Ledger().first(3, *statuses), Ledger().means("stock")) == ([], 0, [], {})


def test_memory_grows_by_some_hundred_bytes_a_segment_however_much_there_is_to_tell() -> None:
    """Each of these reports takes some 20 kB."""
    tracemalloc.start()
    try:
        book = Ledger()
        sizes = []
        for number, report in enumerate(reports(2000, wordy=200)):
            book.add([replace(report, notes=tuple(f"{report.segment} {place}" for place in range(200)))])
            if number + 1 in (200, 2000):
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert len(book) == 2000
    assert sizes[1] - sizes[0] < 1800 * 500
