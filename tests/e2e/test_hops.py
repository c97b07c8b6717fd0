"""Hops between services: the bug in BentoML that we work around, whether it is still there, and that it stays away.

bentoml/BentoML#5540: the client of a dependency closes its session after 100 requests and kills what is in flight.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from benchmarks.servers import serving as running
from tests.e2e.conftest import serve

CONNECTIONS = 32
PAIR = [
    sys.executable,
    "-m",
    "bentoml",
    "serve",
    "tests.e2e.hop_pair:Before",
    "--host",
    "127.0.0.1",
    "--port",
    "{port}",
]
DAYS = [f"{day:%Y-%m-%d}" for day in pd.date_range("2024-01-01", periods=10)]


def _ask(url: str, path: str, requests: int, body: Callable[[int], dict[str, Any]]) -> Counter[int]:
    """The statuses of so many requests over 32 connections."""

    async def all_of_them() -> Counter[int]:
        numbers, statuses = iter(range(requests)), Counter[int]()
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:

            async def one_connection() -> None:
                for number in numbers:
                    statuses[(await client.post(path, json=body(number))).status_code] += 1

            await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))
        return statuses

    return asyncio.run(all_of_them())


def _pair(requests: int, **environment: str) -> Counter[int]:
    with running(PAIR, ready="/readyz", env=environment) as url:
        return _ask(url, "/ask", requests, lambda number: {"number": number})


def test_bentoml_still_kills_requests_when_it_recycles_a_hop_s_session() -> None:
    """Should this fail, a later BentoML has mended it: the workaround in service.py and this file may go."""
    statuses = _pair(1500, PLAIN="yes")
    assert statuses[500] > 0, f"none of {statuses} failed: KEEP_CONNECTIONS in service.py is needed no more"


def test_a_session_that_is_never_recycled_kills_none() -> None:
    """What service.py says to BentoML is enough, with no second try of ours to hide a failure."""
    assert _pair(1500) == {200: 1500}


@pytest.mark.parametrize("requests", [600, pytest.param(6400, marks=pytest.mark.slow)])
def test_no_inline_history_is_lost_on_its_way_to_a_runner(sqlite_store: str, tmp_path: Path, requests: int) -> None:
    """Each is a hop of its own here, 32 at a time, and good ones and bad ones get what they deserve."""

    def body(number: int) -> dict[str, Any]:
        days = DAYS if number % 8 == 0 else DAYS[:1]
        return {"data": [{"ds": ds, "y": number + place**0.5} for place, ds in enumerate(days)], "periods": 1}

    alone = {"FORECAST_RUNNER_MAX_BATCH": "1", "FORECAST_RUNNER_CALLS": str(CONNECTIONS)}
    with serve(sqlite_store, tmp_path, **alone) as service:
        assert _ask(str(service.http.base_url), "/forecast", requests, body) == {
            200: requests // 8,
            400: requests - requests // 8,
        }
        assert f"forecast_runner_batch_size_count {requests}.0" in service.http.get("/metrics").text
