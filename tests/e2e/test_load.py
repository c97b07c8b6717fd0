"""Many connections at once, good and bad requests mixed: none gets another's answer."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from pathlib import Path

import httpx
import pandas as pd
import pytest

from tests.e2e.conftest import Service, log_from_notebook

CONNECTIONS = 32
DAYS = [{"ds": f"{day:%Y-%m-%d}", "y": float(day.day)} for day in pd.date_range("2024-01-01", periods=40)]

# What is asked, and whether it is good: an unplanned 5xx, or a bad one that succeeds, fails the test.
MIX: list[tuple[dict, int]] = [
    ({"model_id": "load", "periods": 7}, 200),
    ({"model_id": "load", "periods": 30, "interval_width": 0.5}, 200),
    ({"model_id": "load", "periods": -1}, 400),
    ({"data": DAYS, "periods": 3}, 200),
    ({"model_id": "nobody"}, 404),
    ({"model_id": "load", "periods": 3, "components": True}, 200),
    ({"data": DAYS[:1]}, 400),
    ({"model_id": "load", "freq": "sometimes"}, 400),
]


def _fresh(number: int) -> list[dict]:
    """A history that nobody has sent yet, and that has to be fitted."""
    return [{**DAYS[0], "y": float(time.time_ns() % 10**9 + number)}, *DAYS[1:]]


async def _bombard(url: str, seconds: float) -> list[tuple[dict, int, httpx.Response]]:
    answers: list[tuple[dict, int, httpx.Response]] = []
    deadline = time.monotonic() + seconds
    numbers = itertools.count()
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:

        async def caller(first: int) -> None:
            for body, status in itertools.islice(itertools.cycle(MIX), first, None):
                if time.monotonic() > deadline:
                    return
                sent = {**body, "data": _fresh(next(numbers))} if body.get("data") == DAYS else body
                answers.append((body, status, await client.post("/forecast", json=sent)))

        await asyncio.gather(*(caller(number) for number in range(CONNECTIONS)))
    return answers


def _hold_under_load(service: Service, store: str, cwd: Path, seconds: float) -> None:
    yhat = log_from_notebook(store, "load", 2.0, cwd)
    service.until(lambda response: response.status_code == 200, model_id="load", periods=1)
    answers = asyncio.run(_bombard(str(service.http.base_url), seconds))
    wrong = [
        (body, answer.status_code, answer.text) for body, status, answer in answers if answer.status_code != status
    ]
    assert wrong == []
    assert len(answers) > 2 * CONNECTIONS
    for body, status, answer in answers:
        if status == 200:
            forecast = answer.json()["forecast"]
            assert len(forecast) == body["periods"]
            if "model_id" in body:
                assert [row["yhat"] for row in forecast[:3]] == pytest.approx(yhat[:3], rel=1e-9)
    many = {"requests": [{"data": _fresh(number), "periods": 1} for number in range(40)]}
    assert all("forecast" in result for result in service.http.post("/forecast/batch", json=many).json()["results"])
    assert _batches_above_one(service.http.get("/metrics").text) > 0


def _batches_above_one(metrics: str) -> float:
    """How many calls brought a runner more than one history."""
    found = {"1.0": 0.0, "+Inf": 0.0}
    pattern = r'^forecast_runner_batch_size_bucket\{.*le="(1\.0|\+Inf)".*\} (\S+)$'
    for edge, count in re.findall(pattern, metrics, re.MULTILINE):
        found[edge] += float(count)
    return found["+Inf"] - found["1.0"]


def test_no_good_request_fails_under_load(service: Service, sqlite_store: str, tmp_path: Path) -> None:
    """32 connections for a short while."""
    _hold_under_load(service, sqlite_store, tmp_path, seconds=6)


@pytest.mark.slow
def test_no_good_request_fails_under_load_for_long(service: Service, sqlite_store: str, tmp_path: Path) -> None:
    """32 connections for 20 seconds, five times with idle breaks in which connections grow stale."""
    for _ in range(5):
        _hold_under_load(service, sqlite_store, tmp_path, seconds=20)
        time.sleep(6)
