"""The frame of the benchmarks: which way a ratio goes, what a bar decides, what is written."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
from jsonschema import validate

from benchmarks import frame

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["machine", "rows"],
    "properties": {
        "machine": {
            "type": "object",
            "additionalProperties": False,
            "required": ["cpu", "cores", "memory_gib", "os", "python", "packages"],
            "properties": {
                "cpu": {"type": "string", "minLength": 1},
                "cores": {"type": "integer", "minimum": 1},
                "memory_gib": {"type": "number", "exclusiveMinimum": 0},
                "os": {"type": "string", "minLength": 1},
                "python": {"type": "string"},
                "packages": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "rows": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "unit", "ours", "peer", "theirs", "ratio", "bar", "meets"],
                "properties": {
                    "name": {"type": "string"},
                    "unit": {"type": "string"},
                    "ours": {"type": "number"},
                    "peer": {"type": "string"},
                    "theirs": {"type": "number"},
                    "ratio": {"type": "number"},
                    "bar": {"type": ["number", "null"]},
                    "meets": {"type": "boolean"},
                },
            },
        },
    },
}


def throughput(ours: float, theirs: float, bar: float | None = None) -> frame.Row:
    """A row where more is better."""
    return frame.compare("forecasts", "requests/s", ours=ours, peer="them", theirs=theirs, better="more", bar=bar)


def latency(ours: float, theirs: float, bar: float | None = None) -> frame.Row:
    """A row where less is better."""
    return frame.compare("p50", "ms", ours=ours, peer="them", theirs=theirs, better="less", bar=bar)


def test_more_requests_a_second_is_better() -> None:
    """Throughput: ours over theirs."""
    assert throughput(50.0, 10.0).ratio == 5.0
    assert throughput(10.0, 50.0).ratio == 0.2


def test_fewer_milliseconds_is_better() -> None:
    """Latency: theirs over ours."""
    assert latency(10.0, 50.0).ratio == 5.0
    assert latency(50.0, 10.0).ratio == 0.2


@pytest.mark.parametrize(("ours", "meets"), [(19.99, False), (20.0, True), (20.01, True)])
def test_a_row_meets_its_bar_when_the_ratio_reaches_it(ours: float, meets: bool) -> None:
    """The bar itself is enough."""
    assert throughput(ours, 10.0, bar=2.0).meets is meets


def test_rounding_does_not_lift_a_row_over_its_bar() -> None:
    """1.99999 is written as 2, and still is below 2."""
    row = throughput(199_999.0, 100_000.0, bar=2.0)
    assert (row.ratio, row.meets) == (2.0, False)


def test_a_row_without_a_bar_only_informs() -> None:
    """However bad it is, it misses nothing."""
    row = throughput(1.0, 1000.0)
    assert (row.bar, row.meets) == (None, True)


def test_a_service_that_answers_nothing_has_a_ratio_of_zero() -> None:
    """Our own failure is a figure like any other."""
    row = throughput(0.0, 10.0, bar=1.0)
    assert (row.ratio, row.meets) == (0.0, False)


@pytest.mark.parametrize(("ours", "theirs"), [(1.0, 0.0), (float("nan"), 1.0), (1.0, float("inf")), (-1.0, 1.0)])
def test_figures_that_cannot_be_compared_are_refused(ours: float, theirs: float) -> None:
    """A peer that did nothing is no peer, and a figure that is none does not get into a file."""
    with pytest.raises(ValueError, match="forecasts"):
        throughput(ours, theirs)


def test_the_file_is_machine_and_rows_and_nothing_else(tmp_path: Path) -> None:
    """The schema that the readers of the results rely on."""
    path = frame.write("some", [throughput(50.0, 10.0, bar=5.0), latency(3.0, 4.0)], tmp_path / "new")
    written = json.loads(path.read_text(encoding="utf-8"))
    validate(written, SCHEMA)
    assert path.name == "some.json"
    assert written["rows"][0] == {
        "name": "forecasts",
        "unit": "requests/s",
        "ours": 50.0,
        "peer": "them",
        "theirs": 10.0,
        "ratio": 5.0,
        "bar": 5.0,
        "meets": True,
    }
    assert written["rows"][1]["bar"] is None


def test_the_machine_is_described_without_its_name_or_a_path() -> None:
    """Results are committed, so they say what the machine is and not whose."""
    described = json.dumps(frame.machine())
    assert str(frame.RESULTS.parent) not in described
    assert f'"{platform.node()}"' not in described


def test_the_table_marks_a_missed_bar() -> None:
    """A header, a rule, and a line for each row."""
    lines = frame.markdown([throughput(10.0, 10.0, bar=2.0), latency(5.0, 10.0)]).splitlines()
    assert len(lines) == 4
    assert lines[2] == "| forecasts | requests/s | 10 | them | 10 | 1 | 2 | **no** |"
    assert lines[3].endswith("| 2 | - | - |")


def test_a_full_run_writes_to_the_results_folder() -> None:
    """Without any flags."""
    assert frame.options("", []).results == frame.RESULTS


def test_a_quick_run_writes_nowhere_unless_told_to(tmp_path: Path) -> None:
    """Its figures are too coarse to be kept by accident."""
    assert frame.options("", ["--quick"]).results is None
    assert frame.options("", ["--quick", "--results", str(tmp_path)]).results == tmp_path


@pytest.mark.parametrize(("flags", "code"), [([], 1), (["--quick"], 0)])
def test_a_missed_bar_fails_a_full_run_and_not_a_quick_one(
    flags: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Either says which rows missed theirs."""
    given = frame.options("", [*flags, "--results", str(tmp_path)])
    assert frame.report("some", [throughput(1.0, 1.0, bar=2.0)], given) == code
    assert "Below the bar: forecasts" in capsys.readouterr().err


def test_a_run_whose_rows_meet_their_bars_succeeds(tmp_path: Path) -> None:
    """Exit code 0, and the file is there."""
    given = frame.options("", ["--results", str(tmp_path)])
    assert frame.report("some", [throughput(2.0, 1.0, bar=2.0)], given) == 0
    assert (tmp_path / "some.json").exists()
