"""Keys x segments x endpoints on the whole app, with a real registry behind it and runners in this process."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import jwt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophet import Prophet

from registry.log import JobLog
from registry.registry import Registry
from serving.app import ForecastApp
from serving.backend import WorkerBackend
from serving.keys import create_key
from serving.metrics import Metrics
from serving.outcomes import Refused
from serving.settings import Settings
from tests.integration.runners import LocalRunners

SECRET = "a secret of at least thirty-two bytes"
ISSUER = "https://project.supabase.test/auth/v1"
SEGMENTS = ("user_1_food", "user_1_rent", "user_12_food", "user_2_food", "shop_7")
ABSENT = ("user_1_none", "user_2_none")
DATA = [{"ds": f"{day:%Y-%m-%d}", "y": float(day.day)} for day in pd.date_range("2024-01-01", periods=30)]

# Which segments each caller reads, and whether he may have histories fitted and read /metrics.
GRANTS: dict[str, tuple[tuple[str, ...], bool, bool]] = {
    "everything": (("*",), True, True),
    "user 1": (("user_1_*",), True, False),
    "two patterns": (("user_2_*", "shop_?"), False, False),
    "nothing": (("elsewhere_*",), True, False),
    "exactly one": (("user_12_food",), True, False),
}
READS: dict[str, tuple[str, ...]] = {
    "everything": (*SEGMENTS, *ABSENT),
    "user 1": ("user_1_food", "user_1_rent", "user_1_none"),
    "two patterns": ("user_2_food", "user_2_none", "shop_7"),
    "nothing": (),
    "exactly one": ("user_12_food",),
    "token of 1": ("user_1_food", "user_1_rent", "user_1_none"),
}
STRANGERS: dict[str, dict[str, str]] = {
    "no key": {},
    "an empty key": {"X-API-Key": ""},
    "an unknown id": {"X-API-Key": "fk_000000000000_" + "0" * 48},
    "another scheme": {"Authorization": "Basic dXNlcjpwYXNz"},
    "a word": {"Authorization": "Bearer hello"},
    "an unsigned token": {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."},
}
GUARDED = (
    ("POST", "/forecast"),
    ("POST", "/forecast/batch"),
    ("GET", "/models"),
    ("GET", "/models/user_1_food"),
    ("GET", "/metrics"),
)


def _json_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "sub", "exp", "jwk"])
    return st.lists(inner, max_size=3) | st.dictionaries(names, inner | st.sampled_from(["HS256", "none"]), max_size=4)


class App:
    """The app as a caller on some machine meets it."""

    def __init__(self, app: ForecastApp, keys: dict[str, dict[str, str]]) -> None:
        self._app = app
        self.gate = app._gate
        self.routes = app.routes
        self.keys = keys

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, client: str = "203.0.113.9", **more: Any
    ) -> httpx.Response:
        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=(client, 4711))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as http:
                return await http.request(method, path, headers=headers, **more)

        return asyncio.run(answer())


def _open(registry: Registry, keys: dict[str, dict[str, str]] | None = None, **chosen_settings: Any) -> App:
    chosen = Settings(**chosen_settings)
    backend = WorkerBackend(LocalRunners(registry, chosen), registry, chosen)
    app = ForecastApp(chosen, backend, Metrics(multiprocess=False))
    return App(app, keys or {})


@pytest.fixture
def open_app(registry: Registry) -> Callable[..., App]:
    """Makes an app with these settings that has no segments."""
    return partial(_open, registry)


@pytest.fixture(scope="module")
def app(empty_store: Path, prophet: Prophet, tmp_path_factory: pytest.TempPathFactory) -> App:
    """An app with five segments, a key for each grant and a user with a token."""
    folder = tmp_path_factory.mktemp("admission")
    shutil.copy(empty_store, folder / "mlflow.db")
    registry = Registry(f"sqlite:///{folder}/mlflow.db")
    with JobLog(registry, "test", {}) as job:
        for segment in SEGMENTS:
            registry.promote(segment, job.log_segment(segment, prophet, params={}, metrics={}, tags={}).version)
    path = folder / "keys.json"
    keys = {
        name: {"Authorization": f"Bearer {create_key(path, name, globs, inline=inline, metrics=metrics)[1]}"}
        for name, (globs, inline, metrics) in GRANTS.items()
    }
    claims = {"iss": ISSUER, "aud": "authenticated", "sub": "1", "exp": int(time.time()) + 3600}
    keys["token of 1"] = {"Authorization": f"Bearer {jwt.encode(claims, SECRET)}"}
    return _open(registry, keys, keys_file=path, jwt_issuer=ISSUER, jwt_secret=SECRET)


def test_every_caller_gets_his_own_segments_and_no_other_s(app: App) -> None:
    """Alone, in a batch, as a model and in the list; what is not his looks the same whether it exists or not."""
    everything = (*SEGMENTS, *ABSENT)
    for name, headers in app.keys.items():
        expected = {
            segment: 403 if segment not in READS[name] else 404 if segment in ABSENT else 200 for segment in everything
        }
        bodies = set()
        for segment, status in expected.items():
            answers = [
                app.ask("POST", "/forecast", headers, json={"model_id": segment, "periods": 2}),
                app.ask("POST", "/forecast", headers, json={"model_id": segment, "periods": 2, "version": 1}),
                app.ask("GET", f"/models/{segment}", headers),
            ]
            assert [answer.status_code for answer in answers] == [status] * 3, (name, segment)
            bodies |= {answer.text for answer in answers if answer.status_code == 403}
        assert len(bodies) <= 1, name

        asked = [{"model_id": segment, "periods": 2} for segment in everything]
        batch = app.ask("POST", "/forecast/batch", headers, json={"requests": asked})
        assert batch.status_code == 200
        statuses = [item.get("status", 200) for item in batch.json()["results"]]
        assert statuses == list(expected.values()), name

        for limit in (1, 2, 1000):
            assert _listed(app, headers, limit) == sorted(set(READS[name]) - set(ABSENT)), (name, limit)


def _listed(app: App, headers: dict[str, str], limit: int) -> list[str]:
    """All pages of /models, one after the other."""
    found: list[str] = []
    token: str | None = None
    while True:
        query = {"limit": str(limit), **({"page_token": token} if token else {})}
        page = app.ask("GET", "/models", headers, params=query).json()
        assert len(page["models"]) <= limit
        found += [model["model_id"] for model in page["models"]]
        token = page["next_page_token"]
        if token is None:
            return found


def test_rights_beside_segments_hold(app: App) -> None:
    """Inline fits and /metrics; what is read of a history of one's own has no segment."""
    for name, (_, inline, metrics) in GRANTS.items():
        headers = app.keys[name]
        alone = app.ask("POST", "/forecast", headers, json={"model_id": "user_2_food", "data": DATA, "periods": 1})
        assert alone.status_code == (200 if inline else 403), name
        batch = app.ask("POST", "/forecast/batch", headers, json={"requests": [{"data": DATA, "periods": 1}]})
        assert ("forecast" in batch.json()["results"][0]) is inline
        assert app.ask("GET", "/metrics", headers).status_code == (200 if metrics else 403), name


@pytest.mark.parametrize("stranger", STRANGERS, ids=list(STRANGERS))
def test_nobody_else_gets_in(app: App, stranger: str) -> None:
    """One and the same 401 everywhere, and before a body is read; what is open stays open."""
    bodies = set()
    for method, path in GUARDED:
        answer = app.ask(method, path, STRANGERS[stranger], content=b"{" if method == "POST" else None)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
        bodies.add(answer.text)
    assert len(bodies) == 1
    assert "user_" not in bodies.pop()
    for path in ("/health", "/openapi.json"):
        answer = app.ask("GET", path, STRANGERS[stranger])
        assert answer.status_code == 200
        assert not [segment for segment in SEGMENTS if segment in answer.text]


def test_both_headers_carry_a_key(app: App) -> None:
    """And X-API-Key is the one that counts."""
    key = app.keys["everything"]["Authorization"].removeprefix("Bearer ")
    assert app.ask("GET", "/models", {"X-API-Key": key}).status_code == 200
    assert app.ask("GET", "/models", {"authorization": f"bearer  {key} "}).status_code == 200
    assert app.ask("GET", "/models", {"X-API-Key": "wrong", **app.keys["everything"]}).status_code == 401


def test_a_caller_who_asks_too_often_waits(open_app: Callable[..., App], tmp_path: Path) -> None:
    """A batch counts as many as it holds; the debt is told in whole seconds."""
    _, key = create_key(tmp_path / "keys.json", "slow", ("*",), rate=0.01)
    app = open_app(keys_file=tmp_path / "keys.json")
    headers = {"X-API-Key": key}
    batch = {"requests": [{"model_id": "nobody"}] * 3}
    assert app.ask("POST", "/forecast/batch", headers, json=batch).status_code == 200
    answer = app.ask("POST", "/forecast", headers, json={"model_id": "nobody"})
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert 200 < int(answer.headers["retry-after"]) <= 300
    assert app.ask("GET", "/health", headers).status_code == 200


def test_a_service_without_keys_answers_its_own_machine(
    open_app: Callable[..., App], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody from elsewhere, however he got through; and the log says how to mend it."""
    app = open_app()
    for method, path in GUARDED:
        answer = app.ask(method, path, client="192.0.2.7", content=b"{}" if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
    assert "FORECAST_ALLOW_ANONYMOUS" in caplog.text
    assert [app.ask("GET", "/models", client=host).status_code for host in ("127.0.0.1", "::1")] == [200, 200]
    assert app.ask("GET", "/health", client="192.0.2.7").status_code == 200
    assert open_app(allow_anonymous=True).ask("GET", "/models", client="192.0.2.7").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:3000"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "127.8.9.10:3000"}, 200),
        ({"Host": "[::1]:3000"}, 200),
        ({"Origin": "http://localhost:5173"}, 200),
        ({"Host": "evil.example:3000"}, 403),  # a name that its owner lets point at 127.0.0.1
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "127.0.0.1@evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "192.0.2.7"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example", "Content-Type": "text/plain"}, 403),
    ],
    ids=str,
)
def test_a_web_page_does_not_reach_a_service_without_keys(
    open_app: Callable[..., App], headers: dict[str, str], status: int
) -> None:
    """Not by a name of its own that points at this machine, nor by a request that its browser sends unasked."""
    app = open_app()
    for method, path in GUARDED:
        body = b'{"model_id": "nobody"}' if method == "POST" else None
        answer = app.ask(method, path, headers, client="127.0.0.1", content=body)
        assert (answer.status_code == 403) is (status == 403), (path, answer.text)


def test_where_callers_are_told_apart_or_all_welcome_their_names_for_it_do_not_count(
    open_app: Callable[..., App], tmp_path: Path
) -> None:
    """A public service has whatever name its owner gave it."""
    _, key = create_key(tmp_path / "keys.json", "shop", ("*",))
    foreign = {"Host": "forecast.example", "Origin": "https://shop.example"}
    assert open_app(keys_file=tmp_path / "keys.json").ask("GET", "/models", foreign | {"X-API-Key": key}).is_success
    assert open_app(allow_anonymous=True).ask("GET", "/models", foreign, client="127.0.0.1").is_success


def test_anonymous_callers_are_not_let_in_where_keys_are_asked_for(
    open_app: Callable[..., App], tmp_path: Path
) -> None:
    """Neither from this machine nor by FORECAST_ALLOW_ANONYMOUS; a file that is not there yet holds no keys."""
    app = open_app(keys_file=tmp_path / "none.json", allow_anonymous=True)
    assert app.ask("GET", "/models", client="127.0.0.1").status_code == 401


def test_the_access_log_says_who_asked_and_never_with_what(
    open_app: Callable[..., App], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The key's id; for one who was not let in, nobody's."""
    key, credential = create_key(tmp_path / "keys.json", "shop", ("*",))
    app = open_app(keys_file=tmp_path / "keys.json", access_log=True)
    with caplog.at_level(logging.DEBUG):
        app.ask("GET", "/models", {"X-API-Key": credential})
        app.ask("GET", "/models", {"X-API-Key": credential + "0"})
        app.ask("GET", "/health")
    lines = [record.getMessage() for record in caplog.records if record.name == "serving.access"]
    assert [line.rpartition(", ")[2] for line in lines] == [f"key:{key.id}", "nobody", "nobody"]
    assert credential.split("_")[2] not in caplog.text


HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"authorization", b"x-api-key", b"host"]),
        st.binary(max_size=200)
        | st.builds(lambda text: b"Bearer " + text, st.binary(max_size=200))
        | st.builds(lambda text: b"Bearer fk_" + text, st.binary(max_size=80))
        | st.builds(
            lambda *parts: (
                b"Bearer " + b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts)
            ),
            *[st.recursive(st.none() | st.integers() | st.text(max_size=5), _json_of, max_leaves=8)] * 3,
        ),
    ),
    max_size=4,
)


@given(headers=HEADERS)
@settings(max_examples=300, deadline=None)
def test_whatever_stands_in_the_headers_is_a_401(app: App, headers: list[tuple[bytes, bytes]]) -> None:
    """Never a 500, and never a way in."""

    async def admit() -> str:
        try:
            await app.gate.admit({"headers": headers})
        except Refused as error:
            return error.refusal.code
        return "let in"

    assert asyncio.run(admit()) == "unauthenticated"


BOMBS: list[tuple[str, str, bytes]] = [
    ("a million requests", "/forecast/batch", b'{"requests":[' + b"{}," * 1_000_000 + b"{}]}"),
    ("two million rows of nothing", "/forecast", b'{"data":[' + b"0," * 2_000_000 + b"0]}"),
    ("a million regressors' values", "/forecast", b'{"regressors":{"a":[' + b'"",' * 1_000_000 + b'""]}}'),
    ("many bad items", "/forecast/batch", b'{"requests":[' + b'{"data":[0,0]},' * 9_000 + b"{}]}"),
    ("many unknown keys", "/forecast", b"{" + b",".join(b'"%x":0' % n for n in range(300_000)) + b"}"),
    ("deep in an unknown key", "/forecast", b'{"x":' + b"[" * 4_000_000),
    ("a number of a million digits", "/forecast", b'{"periods":' + b"9" * 1_000_000 + b"}"),
]


@pytest.mark.parametrize(("path", "body"), [case[1:] for case in BOMBS], ids=[case[0] for case in BOMBS])
def test_a_body_made_to_be_costly_is_refused_shortly(open_app: Callable[..., App], path: str, body: bytes) -> None:
    """Its faults are counted or the first is told; the answer stays small."""
    answer = open_app().ask("POST", path, client="127.0.0.1", content=body)
    assert answer.status_code == 400
    assert len(answer.content) < 5_000


def test_many_faults_are_told_by_their_number_alone(open_app: Callable[..., App]) -> None:
    """A thousand are still looked at one by one."""
    app = open_app()
    few, many = (
        app.ask("POST", "/forecast", client="127.0.0.1", json={"data": [0] * rows}).json() for rows in (1000, 1001)
    )
    assert (len(few["errors"]), few["errors"][3]["place"]) == (20, "data.3")
    assert (many["errors"], many["detail"]) == ([], "the body has 1001 faults, too many to list")
