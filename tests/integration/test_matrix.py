"""Every kind of caller at every route: who gets what. A route that has no row here fails."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from prophet import Prophet

from registry.log import JobLog
from registry.registry import Registry
from serving.keys import create_key, revoke_key
from serving.openapi import openapi_document
from tests.integration.test_admission import DATA, ISSUER, SECRET, App, _open

HIS, ANOTHER_S = "user_1_food", "user_2_food"
STRANGERS = (
    "no key",
    "a wrong secret",
    "a revoked key",
    "an expired key",
    "a token of another signer",
    "a token for others",
    "a token of another issuer",
    "an expired token",
    "an unsigned token",
)
KNOWN = ("his key", "another's key", "no inline", "metrics", "his token", "another's token")
_REFUSED = dict.fromkeys(STRANGERS, 401)
_OPEN = dict.fromkeys((*STRANGERS, *KNOWN), 200)
_SIGNED_ONLY = dict.fromkeys((*STRANGERS, *KNOWN), 401)


def _row(**known: Any) -> dict[str, Any]:
    """What each caller gets; the names of the known have no blanks."""
    return _REFUSED | dict(
        zip(KNOWN, (known[name] for name in ("his", "other", "bare", "metrics", "user", "stranger")), strict=True)
    )


_OF_SEGMENT = _row(his=200, other=403, bare=200, metrics=403, user=200, stranger=403)
_INLINE = _row(his=200, other=200, bare=403, metrics=403, user=200, stranger=200)
_BATCH = _row(
    his=[200, 403, 200, 404],
    other=[403, 200, 200, 403],
    bare=[200, 403, 403, 404],
    metrics=[403, 403, 403, 403],
    user=[200, 403, 200, 404],
    stranger=[403, 200, 200, 403],
)
_LIST = _row(his=[HIS], other=[ANOTHER_S], bare=[HIS], metrics=[], user=[HIS], stranger=[ANOTHER_S])
_METRICS = _row(his=403, other=403, bare=403, metrics=200, user=403, stranger=403)

_MIXED = [
    {"model_id": HIS},
    {"model_id": ANOTHER_S},
    {"model_id": ANOTHER_S, "data": DATA},
    {"model_id": "user_1_none"},
]
MATRIX: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("POST", "/forecast", {"json": {"model_id": HIS}}, _OF_SEGMENT),
    ("POST", "/forecast", {"json": {"model_id": HIS, "version": 1}}, _OF_SEGMENT),
    ("POST", "/forecast", {"json": {"model_id": HIS, "include_history": True}}, _OF_SEGMENT),
    ("POST", "/forecast", {"json": {"model_id": ANOTHER_S, "data": DATA}}, _INLINE),
    ("POST", "/forecast/batch", {"json": {"requests": _MIXED}}, _BATCH),
    ("GET", "/models", {}, _LIST),
    ("GET", "/models/{model_id}", {}, _OF_SEGMENT),
    ("GET", "/metrics", {}, _METRICS),
    ("GET", "/health", {}, _OPEN),
    ("GET", "/openapi.json", {}, _OPEN),
    ("POST", "/hooks/mlflow", {"json": {"data": {"name": f"forecast.{HIS}", "alias": "champion"}}}, _SIGNED_ONLY),
]


@pytest.fixture(scope="module")
def app(empty_store: Path, prophet: Prophet, tmp_path_factory: pytest.TempPathFactory) -> App:
    """Two segments, and a caller of every kind."""
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    registry = Registry(f"sqlite:///{folder}/mlflow.db")
    with JobLog(registry, "test", {}) as job:
        for segment in (HIS, ANOTHER_S):
            registry.promote(segment, job.log_segment(segment, prophet, params={}, metrics={}, tags={}).version)
    path = folder / "keys.json"
    soon = datetime.now(UTC) + timedelta(hours=1)
    keys = {
        "his key": create_key(path, "his", ("user_1_*",), expires=soon)[1],
        "another's key": create_key(path, "other", ("user_2_*",))[1],
        "no inline": create_key(path, "bare", ("user_1_*",), inline=False)[1],
        "metrics": create_key(path, "prometheus", (), inline=False, metrics=True)[1],
        "an expired key": create_key(path, "old", ("*",), expires=datetime.now(UTC) - timedelta(seconds=1))[1],
    }
    revoked, keys["a revoked key"] = create_key(path, "gone", ("*",), metrics=True)
    revoke_key(path, revoked.id)
    keys["a wrong secret"] = keys["his key"][:-8] + "01234567"

    claims = {"iss": ISSUER, "aud": "authenticated", "sub": "1", "exp": int(time.time()) + 3600}
    tokens = {
        "his token": jwt.encode(claims, SECRET),
        "another's token": jwt.encode({**claims, "sub": "2"}, SECRET),
        "a token of another signer": jwt.encode(claims, SECRET[::-1]),
        "a token for others": jwt.encode({**claims, "aud": "others"}, SECRET),
        "a token of another issuer": jwt.encode({**claims, "iss": f"{ISSUER}/2"}, SECRET),
        "an expired token": jwt.encode({**claims, "exp": int(time.time()) - 60}, SECRET),
        "an unsigned token": jwt.encode(claims, None, "none"),
    }
    headers = {name: {"Authorization": f"Bearer {credential}"} for name, credential in {**keys, **tokens}.items()}
    settings = {"keys_file": path, "jwt_issuer": ISSUER, "jwt_secret": SECRET, "webhook_secret": SECRET}
    settings |= {"timeout_seconds": 120.0}  # whoever is to be answered is, on a machine with other things to do as well
    return _open(registry, {"no key": {}, **headers}, **settings)


@pytest.mark.parametrize(
    ("method", "route", "request_", "expected"), MATRIX, ids=[f"{row[0]} {row[1]} {n}" for n, row in enumerate(MATRIX)]
)
def test_each_caller_gets_what_is_his(
    app: App, method: str, route: str, request_: dict[str, Any], expected: dict[str, Any]
) -> None:
    """And nobody gets more by asking with HEAD."""
    path = route.replace("{model_id}", HIS)
    assert set(app.keys) == set(expected)
    for caller, headers in app.keys.items():
        answer = app.ask(method, path, headers, **request_)
        assert _result(answer) == expected[caller], (caller, answer.text)
        if method == "GET":
            assert app.ask("HEAD", path, headers).status_code == answer.status_code, caller


def test_no_route_is_without_a_row(app: App) -> None:
    """Those of the app, and those that the document tells of."""
    rows = {(method, route) for method, route, _, _ in MATRIX}
    served = {(method, route) for route, handlers in app.routes.items() for method in handlers if method != "HEAD"}
    told = {(method.upper(), route) for route, methods in openapi_document()["paths"].items() for method in methods}
    assert rows == served
    assert told <= rows


def _result(answer: httpx.Response) -> Any:
    """The status, or, of an answer that holds several things, what it holds."""
    body = answer.json() if answer.headers["content-type"] == "application/json" else {}
    if "results" in body:
        return [item.get("status", 200) for item in body["results"]]
    return [model["model_id"] for model in body["models"]] if "models" in body else answer.status_code
