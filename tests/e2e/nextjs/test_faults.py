"""What callers of the example hear while parts behind it are away, hang, are busy or are set up wrongly."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from examples.nextjs.local.stack import Supabase, running_app
from tests.e2e.nextjs.conftest import Forecasts
from tests.e2e.nextjs.people import Person, spending

pytestmark = pytest.mark.nextjs
TOLD = {"success", "type", "title", "status", "code"}  # and nothing else: no reason, no address, no traceback


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of somebody who takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """The URL of nobody."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def busy() -> Iterator[str]:
    """The URL of a service whose runners are taken: its answer as docs/http.md has it, which cannot be had at will."""

    class Busy(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = b'{"title": "overloaded", "status": 503, "code": "overloaded", "detail": "no runner is free"}'
            self.send_response(503)
            self.send_header("content-type", "application/problem+json")
            self.send_header("retry-after", "7")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def shopper(person: Person) -> Person:
    person.spend("groceries", spending(1, 60))
    return person


@pytest.fixture
def ask_with(
    shopper: Person, supabase: Supabase, forecasts: Forecasts, tmp_path: Path
) -> Callable[..., tuple[httpx.Response, str]]:
    """Ask an app that is set up otherwise; gives its answer and what it logged. The session is the other app's."""

    def ask(**environment: str) -> tuple[httpx.Response, str]:
        environment = {"FORECAST_BUDGET_MS": "4000", **environment}
        log = tmp_path / "log"
        with (
            running_app(supabase, forecasts.url, forecasts.key, log, **environment) as url,
            httpx.Client(base_url=url, cookies=shopper.app.cookies, timeout=90, trust_env=False) as client,
        ):
            answer = client.post("/api/forecast", json={"category": "groceries"})
        return answer, log.read_text()

    return ask


def test_all_is_well_where_nothing_is_otherwise(ask_with: Callable[..., tuple[httpx.Response, str]]) -> None:
    """The others of this file differ from this one by a single setting."""
    answer, _ = ask_with()
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("there", ["silent", "nobody", "busy"])
def test_a_service_that_cannot_answer(
    there: str, ask_with: Callable[..., tuple[httpx.Response, str]], shopper: Person, request: pytest.FixtureRequest
) -> None:
    """Whoever is silent stays so: an answer at all is one of the budget's."""
    status, code = {
        "silent": (504, "timeout"),
        "nobody": (502, "forecast_failed"),
        "busy": (503, "forecast_unavailable"),
    }[there]
    url = request.getfixturevalue(there)
    answer, log = ask_with(FORECAST_API_URL=url)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == TOLD
    assert url not in answer.text
    assert answer.headers.get("retry-after") == ("7" if there == "busy" else None)
    assert code in log
    assert shopper.predictions("groceries") == []


@pytest.mark.parametrize("there", ["silent", "nobody"])
def test_a_supabase_that_cannot_answer(
    there: str, ask_with: Callable[..., tuple[httpx.Response, str]], request: pytest.FixtureRequest
) -> None:
    """He who cannot be asked is not he who is not signed in."""
    url = request.getfixturevalue(there)
    answer, _ = ask_with(SUPABASE_URL=url)
    expected = {"silent": (504, "timeout"), "nobody": (503, "database_unavailable")}[there]
    assert (answer.status_code, answer.json()["code"]) == expected
    assert set(answer.json()) == TOLD
    assert url not in answer.text


def test_our_own_wrong_key_is_not_the_caller_s_fault(ask_with: Callable[..., tuple[httpx.Response, str]]) -> None:
    key = "fk_000000000000_" + "0" * 48
    answer, log = ask_with(FORECAST_API_KEY=key)
    assert (answer.status_code, answer.json()["code"]) == (502, "forecast_failed")
    assert set(answer.json()) == TOLD
    assert key not in answer.text + log


def test_a_setting_that_is_missing_is_named_in_the_log_alone(
    ask_with: Callable[..., tuple[httpx.Response, str]],
) -> None:
    answer, log = ask_with(FORECAST_API_KEY="")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert set(answer.json()) == TOLD
    assert "FORECAST_API_KEY is not set" in log
