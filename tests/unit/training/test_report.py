"""A report is read by machines, by people, and by the shell."""

from __future__ import annotations

import io
import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from forecasting.errors import Fault
from training.ledger import Ledger, SegmentReport
from training.report import JobReport

FAULT = Fault("unparsable_number", "In column 'y', 1 value is unreadable as a number: row 3 (x).", "y", (3,), ("x",))


def sound(name: str, mase: float = 0.5) -> SegmentReport:
    metrics = {"mase": mase, "coverage": 0.75}
    return SegmentReport(name, "trained", 3, "D", 730, metrics, {"mase": 1.0}, "promote", ("Fine.",))


def failed(name: str) -> SegmentReport:
    return SegmentReport(name, "failed", faults=(FAULT,))


def job(*segments: SegmentReport, seconds: float = 1.0, notes: tuple[str, ...] = ()) -> JobReport:
    return JobReport(Ledger(segments), seconds, "run", notes)


def printed(report: JobReport) -> str:
    out = io.StringIO()
    report.print(Console(file=out, width=100))
    return out.getvalue()


def test_the_exit_code_says_whether_any_segment_failed() -> None:
    assert job(sound("a")).exit_code == 0
    assert job(sound("a"), failed("b")).exit_code == 1


def test_the_totals_count_every_status() -> None:
    report = job(sound("a"), SegmentReport("c", "held"), failed("b"))
    assert report.totals == {"segments": 3, "trained": 1, "held": 1, "failed": 1}


def test_means_leave_out_what_is_not_finite_or_was_not_measured() -> None:
    report = job(sound("a", 0.5), sound("b", 1.5), sound("c", math.inf), failed("d"))
    assert report.mean_metrics == {"mase": 1.0, "coverage": 0.75}
    assert report.mean_baseline == {"mase": 1.0}


def test_the_json_is_strict_and_tells_everything(tmp_path: Path) -> None:
    report = job(failed("b\ud800"), sound("ü", math.inf), sound("a"), seconds=1.23456, notes=("Odd.",))
    report.write(tmp_path / "report.json")
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    body = json.loads(text, parse_constant=pytest.fail)
    unlimited = {**asdict(sound("ü")), "metrics": {"mase": None, "coverage": 0.75}}
    assert body == {
        "run_id": "run",
        "dry_run": False,
        "seconds": 1.235,
        "totals": {"segments": 3, "trained": 2, "held": 0, "failed": 1},
        "mean_metrics": {"mase": 0.5, "coverage": 0.75},
        "mean_baseline": {"mase": 1.0},
        "mean_stock": {},
        "notes": ["Odd."],
        "segments": json.loads(json.dumps([asdict(sound("a")), asdict(failed("b\ud800")), unlimited])),
    }
    lines = text.splitlines()
    assert [json.loads(line.rstrip(","))["segment"] for line in lines if line.startswith("    {")] == [
        "a",
        "b\ud800",
        "ü",
    ]


def test_a_report_without_segments_is_json_too(tmp_path: Path) -> None:
    job().write(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["segments"] == []


def test_the_table_shows_twenty_segments_and_counts_the_rest() -> None:
    text = printed(job(*(sound(f"segment {number:02}") for number in range(25))))
    assert "segment 19" in text
    assert "segment 20" not in text
    assert "and 5 more" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_failures_are_listed_with_code_and_message_up_to_a_number() -> None:
    text = printed(job(*(failed(f"f{number:02}") for number in range(50))))
    assert text.count("unparsable_number") == 50
    assert "failed f49 unparsable_number" in text
    assert "that failed" not in text
    more = printed(job(*(failed(f"f{number:02}") for number in range(53)), sound("z")))
    assert more.count("unparsable_number") == 50
    assert "and 3 more that failed; --report FILE tells of all" in more


def test_keys_are_shown_as_they_are_and_long_ones_are_cut() -> None:
    text = printed(job(sound("[red]x[/red]"), sound("k" * 200), failed("[bold]")))
    assert "[red]x[/red]" in text
    assert "…" in text
    assert "failed [bold]" in text


def test_the_last_line_compares_with_seasonal_naive() -> None:
    text = printed(job(sound("a"), seconds=2.0, notes=("Something was odd.",)))
    assert "1 segments in 2.0 s: 1 trained, 0 held, 0 failed; mean MASE 0.500, seasonal naive 1.000" in text
    assert "Something was odd." in text
