"""A report is read by machines, by people, and by the shell."""

from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from forecasting.errors import Fault
from training.report import JobReport, SegmentReport

FAULT = Fault("unparsable_number", "In column 'y', 1 value is unreadable as a number: row 3 (x).", "y", (3,), ("x",))


def sound(name: str, mase: float = 0.5) -> SegmentReport:
    metrics = {"mase": mase, "coverage": 0.75}
    return SegmentReport(name, "trained", 3, "D", 730, metrics, {"mase": 1.0}, "promote", ("Fine.",))


def failed(name: str) -> SegmentReport:
    return SegmentReport(name, "failed", faults=(FAULT,))


def printed(report: JobReport) -> str:
    out = io.StringIO()
    report.print(Console(file=out, width=100))
    return out.getvalue()


def test_the_exit_code_says_whether_any_segment_failed() -> None:
    assert JobReport((sound("a"),), 1.0).exit_code == 0
    assert JobReport((sound("a"), failed("b")), 1.0).exit_code == 1


def test_the_totals_count_every_status() -> None:
    report = JobReport((sound("a"), SegmentReport("c", "held"), failed("b")), 1.0)
    assert report.totals == {"segments": 3, "trained": 1, "held": 1, "failed": 1}


def test_means_leave_out_what_is_not_finite_or_was_not_measured() -> None:
    report = JobReport((sound("a", 0.5), sound("b", 1.5), sound("c", math.inf), failed("d")), 1.0)
    assert report.mean_metrics == {"mase": 1.0, "coverage": 0.75}
    assert report.mean_baseline == {"mase": 1.0}


def test_the_json_is_strict_and_tells_everything() -> None:
    report = JobReport((sound("ü", math.inf), failed("b")), 1.23456, "run")
    body = json.loads(report.to_json(), parse_constant=pytest.fail)
    assert body["run_id"] == "run"
    assert body["segments"][0]["segment"] == "ü"
    assert body["segments"][0]["metrics"]["mase"] is None
    assert body["segments"][1]["faults"] == [
        {"code": FAULT.code, "message": FAULT.message, "column": "y", "rows": [3], "values": ["x"]}
    ]


def test_the_table_shows_twenty_segments_and_counts_the_rest() -> None:
    text = printed(JobReport(tuple(sound(f"segment {number:02}") for number in range(25)), 1.0))
    assert "segment 19" in text
    assert "segment 20" not in text
    assert "and 5 more" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_every_failure_is_listed_with_its_code_and_message() -> None:
    text = printed(JobReport(tuple(failed(f"f{number}") for number in range(30)), 1.0))
    assert text.count("unparsable_number") == 30
    assert "failed f29 unparsable_number" in text


def test_keys_are_shown_as_they_are_and_long_ones_are_cut() -> None:
    text = printed(JobReport((sound("[red]x[/red]"), sound("k" * 200), failed("[bold]")), 1.0))
    assert "[red]x[/red]" in text
    assert "…" in text
    assert "failed [bold]" in text


def test_the_last_line_compares_with_seasonal_naive() -> None:
    text = printed(JobReport((sound("a"),), 2.0, notes=("Something was odd.",)))
    assert "1 segments in 2.0 s: 1 trained, 0 held, 0 failed; mean MASE 0.500, seasonal naive 1.000" in text
    assert "Something was odd." in text
