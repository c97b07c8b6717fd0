"""Bodies that no caller with good intentions sends, at the whole app: each has a documented answer, never a 5xx."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prophet import Prophet

from benchmarks.servers import ROOT
from serving.schemas import ForecastRequest
from tests.integration.bodies import PATHS, POINTS, SEEDS, SEGMENT, Target, fill

# numpy's word on numbers at the ends of what floats hold; what matters is that such an answer is refused.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(scope="module")
def target(empty_store: Path, prophet: Prophet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(fill(tmp_path_factory.mktemp("bodies"), empty_store, prophet))
    yield made
    made.close()


def _history(*rows: tuple[str, str]) -> bytes:
    return b'{"data":[%s]}' % ",".join(f'{{"ds":{ds},"y":{y}}}' for ds, y in rows).encode()


FOUND: list[tuple[str, bytes, int]] = [
    ("a NUL in a key", b'{"model_id":"a\\u0000b"}', 404),
    ("a newline in a key", b'{"model_id":"a\\nb"}', 404),
    ("half a surrogate pair", b'{"model_id":"\\ud800"}', 400),
    ("a whole surrogate pair", b'{"model_id":"\\ud83d\\ude00"}', 404),
    ("invalid UTF-8", b'{"model_id":"\xc3\x28"}', 400),
    ("a byte order mark", b"\xef\xbb\xbf{}", 400),
    ("UTF-16", '{"periods":1}'.encode("utf-16"), 400),
    ("a key twice", b'{"periods":0,"periods":1,"model_id":"nobody"}', 404),
    ("a number beyond floats", _history(('"2024-01-01"', "1e400"), ('"2024-01-02"', "1")), 400),
    ("numbers as large as floats get", _history(*[(f'"2024-01-0{day}"', "1.7e308") for day in range(1, 8)]), 200),
    ("numbers of both ends", _history(*[(f'"2024-01-0{day}"', f"{(-1) ** day}e308") for day in range(1, 8)]), 400),
    ("numbers next to nothing", _history(*[(f'"2024-01-0{day}"', f"{day}e-320") for day in range(1, 8)]), 400),
    ("minus zero", _history(*[(f'"2024-01-0{day}"', "-0.0") for day in range(1, 8)]), 200),
    ("a year without an end", _history(('"99999-01-01"', "1"), ('"99999-01-02"', "1")), 400),
    ("a date before the calendar", _history(('"0001-01-01"', "1"), ('"0001-01-02"', "1")), 400),
    ("dates a nanosecond apart", _history(*[(f'"2024-01-01T00:00:00.00000000{n}"', "1") for n in range(9)]), 200),
    ("words for dates", _history(('"today"', "1"), ('"tomorrow"', "1")), 400),
    ("comments", b'{"periods":1/**/}', 400),
    ("a comma too many", b'{"periods":1,}', 400),
    ("two documents", b"{}{}", 400),
    ("a deep body", b'{"data":' * 5_000 + b"1" + b"}" * 5_000, 400),
    ("a regressor named by nothing", b'{"regressors":{"":[1]},"model_id":"%s"}' % SEGMENT.encode(), 400),
    ("a frequency of another length of time", b'{"freq":"-3D","model_id":"%s"}' % SEGMENT.encode(), 400),
    ("a frequency of nothing", b'{"freq":"0D","model_id":"%s"}' % SEGMENT.encode(), 400),
    ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", 400),
]


HOSTILE = ROOT / ".venv" / "hostile" / "bin" / "python"
FUZZ = Path(__file__).with_name("fuzz_bodies.py")


@pytest.mark.hostile
@pytest.mark.parametrize(
    "runs", [pytest.param(5_000, id="short"), pytest.param(100_000, id="long", marks=pytest.mark.slow)]
)
def test_what_coverage_leads_to_is_answered(
    empty_store: Path, prophet: Prophet, tmp_path: Path, capsys: pytest.CaptureFixture[str], runs: int
) -> None:
    """atheris, in an environment of its own: bodies that reach ever more lines of the app and of forecasting."""
    fill(tmp_path, empty_store, prophet)
    (tmp_path / "corpus").mkdir()
    command = [str(HOSTILE), str(FUZZ), str(tmp_path), str(tmp_path / "corpus"), f"-runs={runs}", "-max_len=1500"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), sysconfig.get_path("purelib")])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=3000
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-5_000:]
    summary = re.findall(rf"#{runs}\s+DONE\s+cov: (\d+).*corp: (\d+)", done.stderr)
    assert summary, done.stderr[-2_000:]
    with capsys.disabled():
        sys.stdout.write(f"\n{runs} bodies, {summary[0][0]} edges of ours reached, {summary[0][1]} bodies kept\n")
    assert int(summary[0][1]) > 2 * len(SEEDS)


@pytest.mark.parametrize(("body", "status"), [case[1:] for case in FOUND], ids=[case[0] for case in FOUND])
def test_what_json_and_calendars_are_full_of_is_answered(target: Target, body: bytes, status: int) -> None:
    """Cases that once were thought of, or found."""
    assert target.ask("/forecast", body) == status
    wrapped = target.ask("/forecast/batch", b'{"requests":[' + body + b"]}")
    assert wrapped == 200 or status == 400


ODD = st.sampled_from(
    [
        "",
        "D",
        "W",
        "MS",
        "h",
        "0D",
        "-1D",
        "1000YS",
        "2024-01-01",
        "2024-02-30",
        "9999-12-31",
        "1677-09-21",
        "nan",
        SEGMENT,
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 500)
    | st.sampled_from([2**31, 2**63, 10**40, -0.0, 1e308, 5e-324, 0.999999999, float("nan"), float("inf")])
    | st.floats()
    | ODD
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
DATES = st.datetimes().map(lambda moment: moment.isoformat()) | ODD
HISTORIES = st.lists(
    st.fixed_dictionaries({"ds": DATES, "y": st.floats(allow_nan=False, allow_infinity=False)}), max_size=6
) | st.just(POINTS)
REQUESTS = st.dictionaries(
    st.sampled_from(sorted(ForecastRequest.model_fields)), VALUES, max_size=4
) | st.fixed_dictionaries(
    {},
    optional={
        "model_id": st.sampled_from([SEGMENT, "nobody", "a/b:c%"]) | st.text(max_size=5),
        "data": HISTORIES,
        "periods": st.integers(-1, 410),
        "start": DATES,
        "freq": ODD | st.text(max_size=4),
        "interval_width": st.floats(0, 1),
        "regressors": st.dictionaries(st.text(max_size=3), st.lists(st.floats(), max_size=3), max_size=2),
        "cap": st.floats(),
        "floor": st.floats(),
        "version": st.integers(0, 3),
        "include_history": st.booleans(),
        "components": st.booleans(),
        "format": st.sampled_from(["rows", "columns", "cells"]),
    },
)


@given(request=REQUESTS, batch=st.booleans())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_fields_of_any_kind_and_value_are_answered(target: Target, request: dict[str, Any], batch: bool) -> None:
    """In JSON, and in what Python takes for JSON: NaN, infinity, half a surrogate pair."""
    body = json.dumps({"requests": [request, {}]} if batch else request).encode()
    target.ask("/forecast/batch" if batch else "/forecast", body)


@st.composite
def _spoilt(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good body, some of whose bytes are others."""
    path, asked = draw(st.sampled_from(SEEDS))
    body = bytearray(json.dumps(asked).encode())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 6)))
        body[start:end] = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"[", b"}", b"-", b"e9", b"\\u0000", b"null"])
        )
    return path, bytes(body)


@given(case=_spoilt() | st.tuples(st.sampled_from(PATHS), st.binary(max_size=60)))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bytes_of_any_kind_are_answered(target: Target, case: tuple[str, bytes]) -> None:
    """Nearly JSON, and nothing like it."""
    target.ask(*case)
