"""MLflow's webhooks at the door: signed with our secret, not long ago, and no more than a hint."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import httpx
import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature

from serving import hooks
from serving.app import ForecastApp
from serving.metrics import Metrics
from serving.outcomes import Refused
from serving.settings import Settings

SECRET = "a secret of MLflow's"
Spoil = Callable[[dict[str, str]], object]


class Backend:
    """Notes the hints that it gets; takes none where it is full."""

    def __init__(self) -> None:
        self.hints: list[str] = []
        self.full = False

    async def hint(self, segment: str) -> None:
        if self.full:
            raise Refused("overloaded", "too many")
        self.hints.append(segment)


class App:
    """The app over its own transport, called from another machine, without any key."""

    def __init__(self, **settings: object) -> None:
        self.backend = Backend()
        self.app = ForecastApp(Settings(**settings), self.backend, Metrics(multiprocess=False))

    def post(self, headers: dict[str, str], body: bytes) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=("192.0.2.7", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.post("/hooks/mlflow", content=body, headers=headers)

        return asyncio.run(once())


@pytest.fixture
def app() -> App:
    return App(webhook_secret=SECRET)


def _event(name: str = "forecast.user_1_food", alias: str = "champion", entity: str = "model_version_alias") -> bytes:
    data = {"name": name, "alias": alias, "version": "3"}
    return json.dumps({"entity": entity, "action": "created", "timestamp": "now", "data": data}).encode()


def _signed(body: bytes, secret: str = SECRET, age: float = 0.0) -> dict[str, str]:
    """The headers that MLflow's own code sends."""
    at = str(int(time.time() - age))
    signature = _generate_hmac_signature(secret, "an id", at, body.decode())
    return {"X-MLflow-Delivery-Id": "an id", "X-MLflow-Timestamp": at, "X-MLflow-Signature": signature}


def test_what_mlflow_signed_is_a_hint(app: App) -> None:
    """Without a key, and from wherever MLflow is."""
    for body in (_event(), _event("forecast.a%2Fb"), _event("forecast.ü")):
        assert app.post(_signed(body), body).status_code == 204
    assert app.backend.hints == ["user_1_food", "a/b", "ü"]


def test_without_a_secret_there_is_no_such_path() -> None:
    """Whoever asks, and however."""
    answer = App().post(_signed(_event()), _event())
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda headers: headers.clear(),
        lambda headers: headers.pop("X-MLflow-Signature"),
        lambda headers: headers.pop("X-MLflow-Delivery-Id"),
        lambda headers: headers.pop("X-MLflow-Timestamp"),
        lambda headers: headers.update({"X-MLflow-Timestamp": "now"}),
        lambda headers: headers.update({"X-MLflow-Timestamp": str(int(headers["X-MLflow-Timestamp"]) + 1)}),
        lambda headers: headers.update({"X-MLflow-Delivery-Id": "another"}),
        lambda headers: headers.update({"X-MLflow-Signature": headers["X-MLflow-Signature"][3:]}),
        lambda headers: headers.update({"X-MLflow-Signature": "v1,"}),
        lambda headers: headers.update({"X-MLflow-Signature": "v1,\xfc"}),
        lambda headers: headers.update(_signed(_event(), "another secret")),
        lambda headers: headers.update(_signed(_event(), age=301)),
        lambda headers: headers.update(_signed(_event(), age=-302)),
        lambda headers: headers.update(_signed(_event("forecast.another"))),
    ],
)
def test_what_is_not_signed_for_this_body_just_now_is_refused(app: App, spoil: Spoil) -> None:
    """All with the same words."""
    headers = _signed(_event())
    spoil(headers)
    answer = app.post({name: value.encode("latin-1") for name, value in headers.items()}, _event())  # type: ignore[misc]
    assert (answer.status_code, answer.text) == (401, app.post({}, b"").text)
    assert app.backend.hints == []


def test_of_a_stranger_the_body_is_not_even_read(app: App) -> None:
    """Nor much of it of anybody."""

    async def receive() -> dict[str, object]:
        raise AssertionError("the body was read")

    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/hooks/mlflow", "headers": [], "query_string": b""}
    asyncio.run(app.app(scope, receive, send))
    assert sent[0]["status"] == 401
    large = b" " * (hooks.MOST_BYTES + 1)
    assert app.post(_signed(large), large).status_code == 413


def test_no_more_is_taken_than_a_worker_can_follow(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of signed deliveries; the rest is for MLflow to send again."""
    headers = _signed(_event())
    app.backend.full = True
    answer = app.post(headers, _event())
    app.backend.full = False
    monkeypatch.setattr(hooks, "RATE", 0.001)
    statuses = [app.post(*asked).status_code for asked in [(headers, _event()), ({}, b""), (headers, _event())]]
    assert statuses == [204, 401, 429]
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"data": ' * 5_000,
        b'{"entity": "registered_model", "action": "created", "data": {"name": "forecast.a", "tags": {}}}',
        _event("example_model"),
        _event("forecast."),
        _event("forecast." + "a" * 300),
        _event("forecast.%2f"),
        _event("forecast.a", "challenger"),
    ],
)
def test_what_is_no_champion_of_a_segment_is_of_no_interest(app: App, body: bytes) -> None:
    """Though it is signed."""
    assert app.post(_signed(body), body).status_code == 204
    assert app.backend.hints == []
