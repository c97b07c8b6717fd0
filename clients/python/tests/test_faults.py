"""What both clients do about a service, a network or a proxy that fails."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

import prophet_serving_client as client
from prophet_serving_client.retry import pause, retry_after

from .conftest import Call
from .faults import (
    Behaviour,
    FaultServer,
    Handler,
    answer,
    cut_off,
    problem,
    reset,
    serving,
    silence,
    stalled,
    text,
    trickling,
)

FORECAST = {"forecast": [], "model_id": "a"}
ASKED = {"model_id": "a"}


def test_a_connection_that_is_reset_is_tried_again_under_one_request_id(call: Call) -> None:
    with serving(reset, answer(FORECAST)) as server:
        assert call(server.url, "forecast", ASKED) == FORECAST
    assert [(seen.method, json.loads(seen.body)) for seen in server.seen] == [("POST", ASKED)] * 2
    assert len({seen.headers["x-request-id"] for seen in server.seen}) == 1


def test_503_is_tried_again_as_soon_as_it_said(call: Call) -> None:
    with serving(problem(503, "overloaded", retry_after="1"), answer(FORECAST)) as server:
        assert call(server.url, "forecast", ASKED) == FORECAST
    assert server.seen[1].at - server.seen[0].at > 0.99


def test_429_is_tried_again_as_soon_as_its_date_comes(call: Call) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    dates = {"date": _http(now), "retry_after": _http(now + timedelta(seconds=1))}
    with serving(problem(429, "rate_limited", **dates), answer(FORECAST)) as server:
        assert call(server.url, "forecast", ASKED) == FORECAST
    assert server.seen[1].at - server.seen[0].at > 0.99


PASSING: list[list[Behaviour]] = [
    [problem(504, "timeout"), text("<h1>Bad Gateway</h1>", "text/html", 502)],
    [cut_off, text('{"forecast": [{"ds"', "application/json")],
]


@pytest.mark.parametrize("script", PASSING, ids=["504 and a proxy's 502", "cut-off answers"])
def test_what_passes_by_itself_is_tried_again(call: Call, script: list[Behaviour]) -> None:
    with serving(*script, answer(FORECAST)) as server:
        assert call(server.url, "forecast", ASKED) == FORECAST
    assert len(server.seen) == 3


@pytest.mark.parametrize("slow", [silence, stalled, trickling])
def test_no_whole_answer_in_time_is_tried_again(call: Call, slow: Behaviour) -> None:
    # More answers than need be: a busy machine may miss this timeout, too.
    with serving(slow, *[answer(FORECAST)] * 9) as server:
        assert call(server.url, "forecast", ASKED, timeout=1.0, budget=120.0, retries=9) == FORECAST
    assert len(server.seen) > 1


def test_retries_come_to_an_end(call: Call) -> None:
    with serving(reset, reset, reset) as server, pytest.raises(client.UnreachableError) as failure:
        call(server.url, "forecast", ASKED)
    assert len(server.seen) == failure.value.attempts == 3
    assert failure.value.request_id == server.seen[0].headers["x-request-id"]
    assert failure.value.__cause__ is not None


@pytest.mark.parametrize("slow", [silence, stalled, trickling])
def test_the_budget_ends_a_call_whatever_an_attempt_may_take(call: Call, slow: Behaviour) -> None:
    with serving(slow) as server, pytest.raises(client.ClientTimeoutError) as failure:
        call(server.url, "forecast", ASKED, timeout=600.0, budget=0.5)
    assert failure.value.attempts == 1


def test_more_patience_than_there_is_is_not_tried(call: Call) -> None:
    with serving(problem(429, "rate_limited", retry_after="3600")) as server:
        with pytest.raises(client.RateLimitError) as failure:
            call(server.url, "forecast", ASKED)
        assert failure.value.retry_after == 3600
        assert len(server.seen) == 1


def test_where_nobody_listens(call: Call) -> None:
    with socket.socket() as held:  # bound and never listening: nobody else gets the port
        held.bind(("127.0.0.1", 0))
        with pytest.raises(client.UnreachableError) as failure:
            call(f"http://127.0.0.1:{held.getsockname()[1]}", "health", retries=1)
    assert failure.value.attempts == 2


CLASSES = [
    (400, "invalid_request", client.BadRequestError),
    (401, "unauthenticated", client.AuthenticationError),
    (403, "forbidden", client.ForbiddenError),
    (404, "unknown_segment", client.NotFoundError),
    (405, "method_not_allowed", client.StatusError),
    (413, "body_too_large", client.TooLargeError),
    (500, "internal_error", client.InternalError),
]


@pytest.mark.parametrize(("status", "code", "kind"), CLASSES)
def test_what_would_fail_again_is_an_error_at_once(call: Call, status: int, code: str, kind: type) -> None:
    faults = [{"place": "data.3.y", "message": "not a number"}]
    with serving(problem(status, code, faults, x_request_id="theirs")) as server:
        with pytest.raises(client.StatusError) as failure:
            call(server.url, "forecast", ASKED)
        assert len(server.seen) == 1
    error = failure.value
    assert type(error) is kind
    assert isinstance(error, client.ForecastError)
    assert (error.status, error.code, error.detail, error.errors) == (status, code, f"why {code}", faults)
    assert (error.request_id, error.attempts, str(error)) == ("theirs", 1, f"{status} {code}: why {code}")


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (problem(429, "rate_limited"), client.RateLimitError),
        (problem(503, "overloaded"), client.UnavailableError),
        (problem(504, "timeout"), client.ServiceTimeoutError),
        (text("{", "application/json"), client.InvalidAnswerError),
        (text("<h1>Sign in</h1>", "text/html"), client.InvalidAnswerError),
        (text("", "text/plain", 307, location="/elsewhere"), client.StatusError),
    ],
)
def test_no_retries_means_one_attempt(call: Call, behaviour: Behaviour, kind: type[Exception]) -> None:
    with serving(behaviour) as server, pytest.raises(kind):
        call(server.url, "forecast", ASKED, retries=0)
    assert len(server.seen) == 1


@pytest.mark.parametrize("behaviour", [text("<h1>Sign in</h1>", "text/html"), text("", "a/b", 307, location="/x")])
def test_somebody_else_s_answers_are_not_asked_for_again(call: Call, behaviour: Behaviour) -> None:
    with serving(behaviour) as server, pytest.raises(client.ForecastError):
        call(server.url, "forecast", ASKED)
    assert len(server.seen) == 1


def test_on_attempt_hears_of_each_attempt(call: Call) -> None:
    heard: list[client.Attempt] = []
    with serving(reset, problem(503, "overloaded"), answer(FORECAST)) as server:
        call(server.url, "forecast", ASKED, request_id="order-7", client={"on_attempt": heard.append})
    assert [(each.method, each.path, each.request_id) for each in heard] == [("POST", "/forecast", "order-7")] * 3
    assert [(each.attempt, each.status, type(each.error)) for each in heard] == [
        (1, None, client.UnreachableError),
        (2, 503, client.UnavailableError),
        (3, 200, type(None)),
    ]
    pauses = [each.pause for each in heard]
    assert 0.25 <= pauses[0] <= 0.5 <= pauses[1] <= 1.0
    assert pauses[2] is None


def test_a_call_that_is_cancelled_ends_at_once() -> None:
    """While it waits for the answer, and in the pause before a retry."""

    async def cancelled(server: FaultServer) -> None:
        async with client.AsyncForecastClient(server.url, budget=3600.0, on_attempt=lambda _: failed.set()) as caller:
            waiting = asyncio.create_task(caller.health(timeout=3600.0))
            while not server.seen:
                await asyncio.sleep(0.01)
            pausing = asyncio.create_task(caller.health())
            await failed.wait()
            for task in (waiting, pausing):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    failed = asyncio.Event()
    with serving(silence, problem(503, "overloaded", retry_after="600")) as server:
        asyncio.run(cancelled(server))
    assert len(server.seen) == 2


def test_one_client_serves_many_threads() -> None:
    """Each gets the answer to its own question."""
    answers: dict[int, Any] = {}
    behaviours = [_echo] * 40
    with serving(*behaviours) as server, client.ForecastClient(server.url, timeout=60.0, budget=120.0) as caller:

        def ask(number: int) -> None:
            answers[number] = caller.forecast({"model_id": str(number)})["model_id"]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {number: str(number) for number in range(40)}


def _echo(handler: Handler) -> None:
    answer(json.loads(handler.asked.body))(handler)


def _http(date: datetime) -> str:
    return format_datetime(date, usegmt=True)


def test_retry_after_is_read_as_seconds_or_as_a_date_and_nothing_else() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    later = _http(now + timedelta(seconds=5))
    assert retry_after({"retry-after": " 3 "}, now) == 3
    assert retry_after({"retry-after": later}, now) == 5
    assert retry_after({"retry-after": _http(now - timedelta(days=1))}, now) == 0
    assert retry_after({"retry-after": later, "date": _http(now + timedelta(seconds=3))}, now) == 2
    for wrong in ("", "soon", "NaN", "-1", "٣"):
        assert retry_after({"retry-after": wrong}, now) is None
    assert retry_after({}, now) is None


def test_pauses_double_up_to_eight_seconds_and_are_never_less_than_asked() -> None:
    assert [pause(retry, None, 0.0) for retry in range(6)] == [0.5, 1, 2, 4, 8, 8]
    assert pause(0, None, 0.5) == 0.375
    assert pause(5, 1.0, 0.0) == 1.0
    assert pause(0, 60.0, 0.5) == 67.5
    assert all(pause(0, 1.0, random.random()) >= 1.0 for _ in range(100))
