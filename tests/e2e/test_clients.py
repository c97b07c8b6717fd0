"""The clients against the real service: both get what they promise, and its bodies are what their types say."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prophet import Prophet

import prophet_serving_client as client
from benchmarks.servers import ROOT
from registry.log import JobLog
from registry.registry import Registry
from serving.keys import create_key
from tests.e2e.conftest import Service, serve
from tests.lacking import lacking

DAYS: list[client.Point] = [{"ds": f"2024-01-{day:02}", "y": 100 + day % 7} for day in range(1, 31)]
SEGMENTS = ["user_1_food", "user_2_food", "user_2_rent"]
LIVE = ROOT / "clients/typescript/.build/test/live.js"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keys for everything, for user_1_* without histories, and for a forecast a second; FILE is where they are."""
    path = tmp_path_factory.mktemp("client-keys") / "keys.json"
    return {
        "FORECAST_KEY": create_key(path, "all", ("*",))[1],
        "FORECAST_NARROW_KEY": create_key(path, "narrow", ("user_1_*",), inline=False)[1],
        "FORECAST_SLOW_KEY": create_key(path, "slow", ("*",), rate=1.0)[1],
        "FILE": str(path),
    }


@pytest.fixture(scope="module")
def guarded(
    keys: dict[str, str], empty_store: Path, prophet: Prophet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service that asks for keys, with three champions."""
    folder = tmp_path_factory.mktemp("clients")
    shutil.copy(empty_store, folder / "mlflow.db")
    store = f"sqlite:///{folder}/mlflow.db"
    registry = Registry(store)
    with JobLog(registry, "test", {}) as job:
        for segment in SEGMENTS:
            registry.promote(segment, job.log_segment(segment, prophet, params={}, metrics={}, tags={}).version)
    # A busy machine may take its time over the first fit of all.
    with serve(store, folder, FORECAST_KEYS_FILE=keys["FILE"], FORECAST_TIMEOUT_SECONDS="60") as service:
        everything = {"Authorization": f"Bearer {keys['FORECAST_KEY']}"}
        service.http.headers.update(everything)
        for segment in SEGMENTS:
            service.until(lambda answer: answer.status_code == 200, seconds=60, model_id=segment, periods=1)
        service.until(lambda answer: answer.status_code == 200, seconds=120, data=DAYS, periods=1)
        yield service


def test_the_typescript_client_and_its_types(guarded: Service, keys: dict[str, str]) -> None:
    """clients/typescript/test/live.ts, which compiles every body it gets as a literal of its type."""
    if shutil.which("node") is None or not LIVE.exists():
        lacking("the TypeScript client is not built: make test-typescript, with Node 20.19 or later")
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", str(LIVE)],
        env={**os.environ, **keys, "FORECAST_URL": str(guarded.http.base_url)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_python_client(guarded: Service, keys: dict[str, str]) -> None:
    """Forecasts in rows and columns, of champions and of histories, in batches; models, health and refusals."""
    with client.ForecastClient(str(guarded.http.base_url), keys["FORECAST_KEY"], timeout=90, budget=180) as caller:
        explained = caller.forecast({"model_id": "user_1_food", "periods": 7, "components": True})
        assert len(explained["forecast"]) == len(explained["components"]["trend"]) == 7
        rows = caller.forecast({"model_id": "user_1_food", "periods": 7})
        assert all(row["yhat_lower"] < row["yhat"] < row["yhat_upper"] for row in rows["forecast"])
        columns = caller.forecast({"model_id": "user_1_food", "periods": 7, "format": "columns"})["columns"]
        assert columns["yhat"] == [row["yhat"] for row in rows["forecast"]]
        inline = caller.forecast({"data": DAYS, "periods": 2})
        assert [row["ds"] for row in inline["forecast"]] == ["2024-01-31", "2024-02-01"]

        asked: list[client.RowsRequest] = [{"model_id": "user_1_food"}, {"model_id": "nobody"}, {"data": DAYS[:1]}]
        results = caller.forecast_batch(asked)
        codes = [result["code"] if client.is_problem(result) else None for result in results]
        assert codes == [None, "unknown_segment", "too_few_points"]

        assert [model["model_id"] for model in caller.models(limit=1)] == SEGMENTS
        assert caller.model("user_2_rent")["version"] == 1
        assert caller.health()["catalog"]["segments"] == 3

        with pytest.raises(client.BadRequestError) as bad:
            caller.forecast({"data": DAYS[::-1]}, request_id="live-1")
        assert (bad.value.code, bad.value.request_id, bad.value.attempts) == ("invalid_history", "live-1", 1)
        assert bad.value.errors[0]["place"].startswith("data.")
        with pytest.raises(client.NotFoundError, match="unknown_segment"):
            caller.model("ü/50%?#")
        with pytest.raises(client.TooLargeError):
            caller.forecast({"model_id": "x" * 5_000_000})


def test_the_python_client_with_other_keys(guarded: Service, keys: dict[str, str]) -> None:
    """What a key does not open is refused, and whoever asks too often is let in after a while."""
    url = str(guarded.http.base_url)
    with client.ForecastClient(url) as caller, pytest.raises(client.AuthenticationError):
        caller.forecast({"model_id": "user_1_food"})
    with client.ForecastClient(url, keys["FORECAST_NARROW_KEY"]) as caller:
        assert [model["model_id"] for model in caller.models()] == ["user_1_food"]
        with pytest.raises(client.ForbiddenError):
            caller.forecast({"data": DAYS})
    with client.ForecastClient(url, keys["FORECAST_SLOW_KEY"], timeout=90, budget=180) as caller:
        pair: list[client.RowsRequest] = [{"model_id": "user_1_food", "periods": 1}] * 2
        caller.forecast_batch(pair)
        with pytest.raises(client.RateLimitError) as refused:
            caller.forecast_batch(pair, retries=0)
        assert refused.value.retry_after
        assert len(caller.forecast_batch(pair)) == 2


def test_the_async_python_client(guarded: Service, keys: dict[str, str]) -> None:
    """Many calls at once, each with its own answer."""

    async def ask() -> list[list[str]]:
        async with client.AsyncForecastClient(
            str(guarded.http.base_url), keys["FORECAST_KEY"], timeout=90, budget=180
        ) as caller:
            assert [model["model_id"] async for model in caller.models(limit=2)] == SEGMENTS
            answers = await asyncio.gather(
                *(caller.forecast({"model_id": segment, "periods": 1}) for segment in SEGMENTS)
            )
            return [[answer["model_id"], answer["model"]["name"] or ""] for answer in answers]

    assert asyncio.run(ask()) == [[segment, f"forecast.{segment}"] for segment in SEGMENTS]
