"""The load generator: what it tells wrk to send, and how it reads what wrk says."""

from __future__ import annotations

import json

from benchmarks.history import POINTS, history_body
from benchmarks.load import PLACE, Request, lua_script, parse_wrk


def test_failed_answers_do_not_count_as_throughput() -> None:
    """100 answers in 2 s of which 20 were failures are 40 good ones a second."""
    figures = {"requests": 100, "duration_us": 2_000_000, "p50_us": 1500, "p99_us": 90_000}
    line = json.dumps(figures | {"status_errors": 20, "socket_errors": 3})
    measured = parse_wrk(f"Running 2s test\n  1 threads and 32 connections\n{line}\n")
    assert (measured.per_second, measured.p50_ms, measured.p99_ms, measured.errors) == (40.0, 1.5, 90.0, 23)


def test_a_script_for_a_get_posts_nothing() -> None:
    """Only the line of figures at the end is ours."""
    script = lua_script(Request("http://127.0.0.1/livez"), 1)
    assert "POST" not in script
    assert "function done" in script


def test_a_body_is_quoted_for_lua() -> None:
    """Quotes and backslashes of JSON stay what they are."""
    script = lua_script(Request("http://127.0.0.1/", json.dumps({"model_id": 'a"b\\c'})), 1)
    assert r'"{\"model_id\": \"a\\\"b\\\\c\"}"' in script


def test_a_fresh_history_differs_from_request_to_request() -> None:
    """Also where one number has a zero more than the other."""
    body = history_body("any", 30, fresh=True)
    assert body.count(PLACE) == 1
    request = Request("http://127.0.0.1/", body)
    values = {json.loads(request.numbered(number) or "")["data"][-1]["y"] for number in (1, 10, 100, 11)}
    assert len(values) == 4


def test_a_body_can_ask_for_one_of_some_after_the_other() -> None:
    """Both generators number the segments of a catalog from 0 on, and begin again."""
    request = Request("http://127.0.0.1/", f'{{"model_id": "s_{PLACE}"}}', among=3)
    asked = [json.loads(request.numbered(number) or "")["model_id"] for number in range(9, 14)]
    assert asked == ["s_0", "s_1", "s_2", "s_0", "s_1"]
    assert 'string.format("%d", number % 3)' in lua_script(request, 1)


def test_the_history_is_the_same_every_time() -> None:
    """731 rows of a date and a number."""
    body = history_body("any", 30)
    assert body == history_body("any", 30)
    assert len(json.loads(body)["data"]) == POINTS
