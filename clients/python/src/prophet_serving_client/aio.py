"""The client for code that awaits (asyncio)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack, cast, overload

import httpx

from prophet_serving_client.calls import Answer, Caller, Miss, Send, Wait
from prophet_serving_client.contract import (
    ColumnarForecast,
    ColumnsRequest,
    Forecast,
    ForecastRequest,
    Health,
    Problem,
    RowsRequest,
    ServedModel,
    ServedModels,
)
from prophet_serving_client.options import Attempt, CallOptions, Patience, checked_base_url, checked_key
from prophet_serving_client.paths import model_path, page_path


class AsyncForecastClient:
    """As ForecastClient, with methods to await and models to iterate over with `async for`.

    api_key may be what awaits a key. A call that is cancelled ends at once.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | Callable[[], str | Awaitable[str]] | None = None,
        *,
        timeout: float = 15.0,
        budget: float = 30.0,
        retries: int = 2,
        headers: Mapping[str, str] | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        patience = Patience(timeout=timeout, budget=budget, retries=retries)
        self._caller = Caller(checked_base_url(base_url), patience, headers or {}, on_attempt)
        self._key = checked_key(api_key) if isinstance(api_key, str) else api_key
        self._http = http or httpx.AsyncClient()
        self._owns_http = http is None

    @overload
    async def forecast(self, request: ColumnsRequest, **options: Unpack[CallOptions]) -> ColumnarForecast: ...
    @overload
    async def forecast(self, request: RowsRequest, **options: Unpack[CallOptions]) -> Forecast: ...
    @overload
    async def forecast(
        self, request: ForecastRequest, **options: Unpack[CallOptions]
    ) -> Forecast | ColumnarForecast: ...
    async def forecast(
        self, request: RowsRequest | ColumnsRequest | ForecastRequest, **options: Unpack[CallOptions]
    ) -> Forecast | ColumnarForecast:
        """See ForecastClient.forecast."""
        return cast("Forecast | ColumnarForecast", await self._call("POST", "/forecast", request, options))

    @overload
    async def forecast_batch(
        self, requests: Sequence[ColumnsRequest], **options: Unpack[CallOptions]
    ) -> list[ColumnarForecast | Problem]: ...
    @overload
    async def forecast_batch(
        self, requests: Sequence[RowsRequest], **options: Unpack[CallOptions]
    ) -> list[Forecast | Problem]: ...
    @overload
    async def forecast_batch(
        self, requests: Sequence[ForecastRequest], **options: Unpack[CallOptions]
    ) -> list[Forecast | ColumnarForecast | Problem]: ...
    async def forecast_batch(self, requests: Sequence[Any], **options: Unpack[CallOptions]) -> list[Any]:
        """See ForecastClient.forecast_batch."""
        answer = await self._call("POST", "/forecast/batch", {"requests": list(requests)}, options)
        return cast("list[Any]", answer["results"])

    async def models(
        self,
        limit: int | None = None,
        page_token: str | None = None,
        *,
        rejected: bool = False,
        **options: Unpack[CallOptions],
    ) -> AsyncIterator[ServedModel]:
        """See ForecastClient.models."""
        async for page in self.model_pages(limit, page_token, rejected=rejected, **options):
            for model in page["models"]:
                yield model

    async def model_pages(
        self,
        limit: int | None = None,
        page_token: str | None = None,
        *,
        rejected: bool = False,
        **options: Unpack[CallOptions],
    ) -> AsyncIterator[ServedModels]:
        """See ForecastClient.model_pages."""
        while True:
            page: ServedModels = await self._call("GET", page_path(limit, page_token, rejected), None, options)
            yield page
            page_token = page["next_page_token"]
            if page_token is None:
                return

    async def model(self, model_id: str, **options: Unpack[CallOptions]) -> ServedModel:
        """See ForecastClient.model."""
        return cast(ServedModel, await self._call("GET", model_path(model_id), None, options))

    async def health(self, **options: Unpack[CallOptions]) -> Health:
        """See ForecastClient.health."""
        return cast(Health, await self._call("GET", "/health", None, options))

    async def aclose(self) -> None:
        """Close the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _call(self, method: str, path: str, body: Any, options: CallOptions) -> Any:
        key = self._key() if callable(self._key) else self._key
        if inspect.isawaitable(key):
            key = await key
        steps = self._caller.steps(method, path, body, key, options)
        reply: Answer | Miss | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                return done.value
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                reply = None
            else:
                reply = await self._send(step)

    async def _send(self, step: Send) -> Answer | Miss:
        try:
            async with asyncio.timeout(step.timeout):
                response = await self._http.request(
                    step.method, step.url, headers=step.headers, content=step.body, timeout=None
                )
                return Answer(response.status_code, response.headers, response.content)
        except TimeoutError as error:
            return Miss(late=True, cause=error)
        except httpx.RequestError as error:
            return Miss(late=False, cause=error)
