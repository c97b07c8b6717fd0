"""The two clients behind one face, so that every test holds for both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from prophet_serving_client import AsyncForecastClient, ForecastClient

# call(url, method, *words, client={...}, **options): one call of a client of its own.
Call = Callable[..., Any]
ITERATED = ("models", "model_pages")


def _sync(url: str, method: str, *words: Any, client: dict[str, Any] | None = None, **options: Any) -> Any:
    with ForecastClient(url, **(client or {})) as opened:
        found = getattr(opened, method)(*words, **options)
        return list(found) if method in ITERATED else found


def _awaiting(url: str, method: str, *words: Any, client: dict[str, Any] | None = None, **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncForecastClient(url, **(client or {})) as opened:
            found = getattr(opened, method)(*words, **options)
            return [each async for each in found] if method in ITERATED else await found

    return asyncio.run(run())


@pytest.fixture(params=[_sync, _awaiting], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """A way of calling either client."""
    return cast(Call, request.param)
