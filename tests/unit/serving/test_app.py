"""The HTTP app with a backend that answers at once: what it does by itself."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator, Sequence

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.access import Caller
from serving.app import ForecastApp
from serving.compression import takes_gzip
from serving.listing import Page
from serving.logs import JsonLines, current_request_id
from serving.metrics import Gauge, Metrics
from serving.outcomes import Answer, Outcome, Refusal
from serving.schemas import ForecastRequest, Health, ServedModel
from serving.settings import Settings


class Backend:
    """Answers every forecast with as many zeros as periods; "bad" is unknown, "full" refused, "broken" a bug."""

    def __init__(self) -> None:
        self.request_ids: list[str | None] = []

    async def forecast(self, request: ForecastRequest) -> Outcome:
        self.request_ids.append(current_request_id())
        if request.model_id == "broken":
            raise ZeroDivisionError
        if request.model_id == "bad":
            return Refusal("unknown_segment", "there is no such segment")
        if request.model_id == "full":
            return Refusal("overloaded", "too many wait", retry_after=2.0)
        zeros = [0.0] * request.periods
        return Answer(
            request.model_id, "2026-01-01T00:00:00Z", b"{}", ["2024-01-01"] * request.periods, *[zeros] * 3, 0.8
        )

    async def models(self, limit: int, page_token: str | None, caller: Caller, *, rejected: bool) -> Page:  # noqa: ARG002
        return Page([], f"{limit} {page_token} {rejected}")

    async def model(self, model_id: str, caller: Caller) -> bytes:  # noqa: ARG002
        served = ServedModel(
            model_id=model_id,
            name="n",
            version=1,
            run_id=None,
            created_at="",
            trained_through=None,
            freq=None,
            solver=None,
            metrics={},
        )
        return served.model_dump_json().encode()

    async def health(self) -> Health:
        return Health(status="healthy", registry="reachable")


class App:
    """The app over its own transport."""

    def __init__(self, **settings: object) -> None:
        self.backend = Backend()
        self.metrics = Metrics(multiprocess=False, gauges=lambda: [Gauge("forecast_catalog_models", "Champions.", 7)])
        self.app = ForecastApp(Settings(**settings), self.backend, self.metrics)

    def ask(self, method: str, path: str, **options: object) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def samples(self) -> dict[tuple[str, ...], float]:
        text = self.ask("GET", "/metrics").text
        families = text_string_to_metric_families(text)
        return {
            (sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples
        }


@pytest.fixture
def app() -> App:
    return App()


def test_heads_are_answered_without_a_body(app: App) -> None:
    """Where there is a GET."""
    assert app.ask("HEAD", "/health").status_code == 200
    refused = app.ask("HEAD", "/forecast")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert app.ask("POST", "/health").headers["allow"] == "GET, HEAD"


def test_a_model_id_may_hold_slashes_and_anything_percent_encoded(app: App) -> None:
    """The rest of the path is the key, as it was before it was encoded."""
    assert app.ask("GET", "/models/a%2Fb/c%20%C3%A4").json()["model_id"] == "a/b/c ä"
    assert app.ask("GET", "/models/").status_code == 404


def test_what_a_page_is_asked_for_reaches_the_backend(app: App) -> None:
    """With its defaults; what is neither true nor false is refused."""
    assert app.ask("GET", "/models").json() == {"models": [], "next_page_token": "100 None False"}
    query = {"limit": 7, "page_token": "t", "rejected": "true"}
    assert app.ask("GET", "/models", params=query).json()["next_page_token"] == "7 t True"
    assert app.ask("GET", "/models?rejected=1").json()["code"] == "invalid_request"


def test_a_bug_costs_its_own_request_only(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """A constant body, the reason in the log."""
    answer = app.ask("POST", "/forecast", json={"model_id": "broken"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivision" not in answer.text


def test_a_refusal_for_overload_is_kept_back(app: App) -> None:
    """Alone and in a batch, so that a caller who asks again at once cannot ask often; no other refusal is."""
    full, bad = {"model_id": "full"}, {"model_id": "bad"}
    for path, body in (("/forecast", full), ("/forecast/batch", {"requests": [bad, full]})):
        began = time.monotonic()
        assert "overloaded" in app.ask("POST", path, json=body).text
        assert time.monotonic() - began >= 0.25
    assert app.ask("POST", "/forecast", json=full).headers["retry-after"] == "2"


def test_every_answer_carries_the_request_s_id(app: App) -> None:
    """The caller's, if it is a plain one; else one of ours, another each time."""
    assert app.ask("GET", "/health", headers={"X-Request-Id": "a-1:b"}).headers["x-request-id"] == "a-1:b"
    ours = [app.ask("GET", "/nowhere", headers={"X-Request-Id": bad}).headers["x-request-id"] for bad in ("", "a\tb")]
    ours.append(app.ask("GET", "/health", headers={"X-Request-Id": "x" * 65}).headers["x-request-id"])
    assert len(set(ours)) == 3
    app.ask("POST", "/forecast", json={}, headers={"X-Request-Id": "mine"})
    assert app.backend.request_ids == ["mine"]


def test_columns_are_answered_where_asked_for(app: App) -> None:
    """By /forecast, and by /forecast/batch item by item."""
    columns = app.ask("POST", "/forecast", json={"periods": 2, "format": "columns"}).json()["columns"]
    assert columns == {"ds": ["2024-01-01"] * 2, "yhat": [0.0] * 2, "yhat_lower": [0.0] * 2, "yhat_upper": [0.0] * 2}
    asked = [{"periods": 1}, {"periods": 1, "format": "columns"}, {"model_id": "bad"}]
    results = app.ask("POST", "/forecast/batch", json={"requests": asked}).json()["results"]
    assert [next(iter(result)) for result in results] == ["forecast", "columns", "type"]


def test_large_answers_are_squeezed_for_those_who_take_it(app: App) -> None:
    """Small ones never; caches are told what the answer depends on."""
    large = {"requests": [{"periods": 30}] * 200}
    plain = app.ask("POST", "/forecast/batch", json=large, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    squeezed = app.ask("POST", "/forecast/batch", json=large, headers={"Accept-Encoding": "br, gzip"})
    assert (squeezed.headers["content-encoding"], squeezed.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert int(squeezed.headers["content-length"]) < len(plain.content) / 10
    assert squeezed.json() == plain.json()
    small = app.ask("POST", "/forecast", json={"periods": 30}, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True),
        ("GZIP;q=0.5, br", True),
        ("*", True),
        ("gzip;q=0, *", False),
        ("", False),
        ("br", False),
        ("gzip; q=x", False),
        ("*;q=0", False),
    ],
)
def test_what_an_accept_encoding_takes(accepted: str, takes: bool) -> None:
    """RFC 9110, 12.5.3."""
    assert takes_gzip(accepted) == takes


def test_requests_and_forecasts_are_counted_under_few_names(app: App) -> None:
    """Routes and codes, never paths and segments; the gauges are what they are when asked."""
    app.ask("POST", "/forecast", json={"model_id": "bad"})
    app.ask("POST", "/forecast/batch", json={"requests": [{"model_id": "a"}, {"model_id": "b"}, {"model_id": "bad"}]})
    app.ask("GET", "/models/a"), app.ask("GET", "/models/b"), app.ask("GET", "/junk")
    found = app.samples()
    assert found["forecast_http_requests_total", "/forecast", "404"] == 1
    assert found["forecast_http_requests_total", "/models/{model_id}", "200"] == 2
    assert found["forecast_http_requests_total", "other", "404"] == 1
    assert found["forecast_http_request_seconds_count", "/forecast/batch"] == 1
    assert found["forecast_outcomes_total", "forecast"] == 2
    assert found["forecast_outcomes_total", "unknown_segment"] == 2
    assert found["forecast_catalog_models",] == 7
    runners = app.metrics.runners("fit")
    runners.wait(5), runners.work(3), runners.wait(-3), runners.sent(3)
    app.metrics.count_fit("kept")
    found = app.samples()
    assert (found["forecast_runner_queue", "fit"], found["forecast_runner_requests", "fit"]) == (2, 3)
    assert (found["forecast_runner_batch_size_sum",], found["forecast_fits_total", "kept"]) == (3, 1)


@pytest.fixture
def own_logs() -> Iterator[None]:
    level = logging.getLogger("serving").level
    logging.getLogger("serving").setLevel(logging.INFO)
    yield
    logging.getLogger("serving").setLevel(level)


@pytest.mark.usefixtures("own_logs")
def test_the_access_log_is_opt_in_and_names_the_request() -> None:
    """One line, in JSON as an object with what a search needs."""
    written: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(JsonLines().format(record))

    keep = Keep()
    logging.getLogger("serving.access").addHandler(keep)
    try:
        App().ask("GET", "/models/secret")
        assert written == []
        App(access_log=True).ask("GET", "/models/secret", headers={"X-Request-Id": "r1"})
    finally:
        logging.getLogger("serving.access").removeHandler(keep)
    [line] = map(json.loads, written)
    assert (line["route"], line["status"], line["request_id"]) == ("/models/{model_id}", 200, "r1")
    assert "secret" not in written[0]


def test_what_came_of_every_forecast_is_handed_on_with_who_asked(app: App) -> None:
    """Refusals among it, in the order asked, while the request still has its id."""
    told: list[tuple[str, bool, str, str | None]] = []

    def record(asked: Sequence[ForecastRequest], outcomes: Sequence[Outcome], caller: Caller) -> None:
        for one, outcome in zip(asked, outcomes, strict=True):
            told.append((one.model_id, isinstance(outcome, Answer), caller.name, current_request_id()))

    app.app = ForecastApp(Settings(), app.backend, app.metrics, record)
    app.ask("POST", "/forecast", json={"model_id": "a"}, headers={"x-request-id": "one"})
    both = {"requests": [{"model_id": "bad"}, {"model_id": "b"}]}
    app.ask("POST", "/forecast/batch", json=both, headers={"x-request-id": "two"})
    app.ask("POST", "/forecast", json={"model_id": 7})
    assert told == [
        ("a", True, "everybody", "one"),
        ("bad", False, "everybody", "two"),
        ("b", True, "everybody", "two"),
    ]
