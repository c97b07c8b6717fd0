"""Who gets in, at the real `bentoml serve` and with the real prophetctl."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import psutil
import pytest
from prophet import Prophet

from benchmarks.servers import ROOT
from benchmarks.servers import serving as running
from registry.log import JobLog
from registry.registry import Registry
from tests.e2e.conftest import Service, serve

BENTO_SERVE = [sys.executable, "-m", "bentoml", "serve", "service:ForecastService"]
ISSUER = "https://project.supabase.test/auth/v1"
SECRET = "a secret of at least thirty-two bytes"


def _keys(path: Path, *words: str) -> str:
    """What `prophetctl keys` prints."""
    command = [sys.executable, "-m", "cli", "keys", *words, "--keys-file", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def guarded(
    keys_file: Path, empty_store: Path, prophet: Prophet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service that asks for keys, with two segments."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    store = f"sqlite:///{folder}/mlflow.db"
    registry = Registry(store)
    with JobLog(registry, "test", {}) as job:
        for segment in ("user_1_food", "user_2_food"):
            registry.promote(segment, job.log_segment(segment, prophet, params={}, metrics={}, tags={}).version)
    tokens = {"FORECAST_JWT_ISSUER": ISSUER, "FORECAST_JWT_SECRET": SECRET}
    with serve(store, folder, FORECAST_KEYS_FILE=str(keys_file), **tokens) as service:
        yield service


def test_keys_open_their_segments_until_they_are_revoked(guarded: Service, keys_file: Path) -> None:
    """Made, used, listed and revoked while the service runs; each change counts within seconds."""
    assert guarded.forecast(model_id="user_1_food").status_code == 401
    key = _keys(keys_file, "create", "alice", "--segments", "user_1_*")
    assert re.fullmatch(r"fk_[0-9a-f]{12}_[0-9a-f]{48}", key)
    guarded.http.headers["Authorization"] = f"Bearer {key}"
    guarded.until(lambda answer: answer.status_code == 200, model_id="user_1_food", periods=2)
    assert guarded.forecast(model_id="user_2_food").status_code == 403
    assert guarded.forecast(model_id="user_2_nothing").text == guarded.forecast(model_id="user_2_food").text
    assert [model["model_id"] for model in guarded.http.get("/models").json()["models"]] == ["user_1_food"]
    assert guarded.http.get("/metrics").status_code == 403

    listed = _keys(keys_file, "list")
    assert "alice" in listed
    assert key.split("_")[2] not in listed
    assert "revoked" in _keys(keys_file, "revoke", key.split("_")[1])
    guarded.until(lambda answer: answer.status_code == 401, model_id="user_1_food")
    assert "revoked" in _keys(keys_file, "list")


def test_a_user_s_token_opens_his_segments(guarded: Service) -> None:
    """By default those of `user_{sub}_*`; an expired or unsigned one opens nothing."""
    claims = {"iss": ISSUER, "aud": "authenticated", "sub": "1", "exp": int(time.time()) + 600}
    tokens = {
        "good": jwt.encode(claims, SECRET),
        "expired": jwt.encode({**claims, "exp": int(time.time()) - 600}, SECRET),
        "unsigned": jwt.encode(claims, None, "none"),
    }
    statuses = {}
    for name, token in tokens.items():
        guarded.http.headers["Authorization"] = f"Bearer {token}"
        asked = [guarded.forecast(model_id=f"user_{user}_food", periods=2) for user in (1, 2)]
        statuses[name] = [answer.status_code for answer in asked]
    assert statuses == {"good": [200, 403], "expired": [401, 401], "unsigned": [401, 401]}


def test_what_bentoml_adds_is_no_way_round(guarded: Service) -> None:
    """Its own routes tell nobody's names, and the runner is not to be reached from outside."""
    with httpx.Client(base_url=guarded.http.base_url, trust_env=False) as http:
        for path in ("/livez", "/readyz", "/health", "/openapi.json"):
            assert http.get(path).status_code == 200, path
        for path in ("/answer", "/ForecastService", "/__is_ready__"):
            assert http.post(path, json={"requests": [{"model_id": "user_1_food"}]}).status_code in (404, 405), path
        for path in ("/metrics", "/models", "/models/user_1_food"):
            assert http.get(path).status_code == 401, path
        for path in ("/", "/docs.json", "/schema.json", "/healthz", "/static_content/"):
            answer = http.get(path)
            assert answer.status_code in (200, 404), path
            assert "user_1" not in answer.text


def test_a_proxy_on_this_machine_does_not_make_its_callers_local(service: Service) -> None:
    """Where it says for whom it asks, that address is what counts."""
    answer = service.http.get("/models", headers={"X-Forwarded-For": "203.0.113.9"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert service.http.get("/models").status_code == 200


def test_a_name_that_points_at_this_machine_is_not_enough(service: Service) -> None:
    """A page whose owner lets its name resolve to 127.0.0.1 is still his."""
    answer = service.http.get("/models", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_nothing_listens_beyond_loopback_without_keys(store: str) -> None:
    """Neither by bentoml nor by prophetctl; each says what to set, and ends."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FORECAST_")}
    environment["MLFLOW_TRACKING_URI"] = store
    for command in (
        [*BENTO_SERVE, "--port", "0", "--host", "0.0.0.0"],
        [sys.executable, "-m", "cli", "serve", "--host", "0.0.0.0", "--tracking-uri", store],
    ):
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode != 0
        assert "FORECAST_KEYS_FILE" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr


def test_a_service_that_nobody_told_where_to_listen_listens_on_loopback(store: str) -> None:
    """BentoML's own default would be every address."""
    command = [*BENTO_SERVE, "--port", "{port}"]
    with running(command, ready="/livez", env={"MLFLOW_TRACKING_URI": store}, patience=240) as url:
        port = httpx.URL(url).port
        listening = {
            connection.laddr.ip
            for connection in psutil.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        }
    assert listening == {"127.0.0.1"}
