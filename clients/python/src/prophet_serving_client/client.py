"""The client for code that waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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


class ForecastClient:
    """The service's routes as methods. Keep one for all requests and threads: it keeps connections open.

    base_url: such as `http://127.0.0.1:3000`; a path is kept.
    api_key: an API key or a user's token, or what fetches one before each call; without it nothing is sent.
    timeout: seconds for one attempt; 15 is above the service's own 10, so that it can say why. While a body comes in,
    the time is looked at between its pieces.
    budget: seconds for the whole call, pauses included. retries: how often to ask again.
    headers: sent with every request. on_attempt: called after every attempt, for logs and metrics.
    http: a client of your own, which stays yours to close.

    Every method raises ForecastError.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | Callable[[], str] | None = None,
        *,
        timeout: float = 15.0,
        budget: float = 30.0,
        retries: int = 2,
        headers: Mapping[str, str] | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        patience = Patience(timeout=timeout, budget=budget, retries=retries)
        self._caller = Caller(checked_base_url(base_url), patience, headers or {}, on_attempt)
        self._key = checked_key(api_key) if isinstance(api_key, str) else api_key
        self._http = http or httpx.Client()
        self._owns_http = http is None

    @overload
    def forecast(self, request: ColumnsRequest, **options: Unpack[CallOptions]) -> ColumnarForecast: ...
    @overload
    def forecast(self, request: RowsRequest, **options: Unpack[CallOptions]) -> Forecast: ...
    @overload
    def forecast(self, request: ForecastRequest, **options: Unpack[CallOptions]) -> Forecast | ColumnarForecast: ...
    def forecast(
        self, request: RowsRequest | ColumnsRequest | ForecastRequest, **options: Unpack[CallOptions]
    ) -> Forecast | ColumnarForecast:
        """One forecast: of a segment's champion, or, with `data`, of that history."""
        return cast("Forecast | ColumnarForecast", self._call("POST", "/forecast", request, options))

    @overload
    def forecast_batch(
        self, requests: Sequence[ColumnsRequest], **options: Unpack[CallOptions]
    ) -> list[ColumnarForecast | Problem]: ...
    @overload
    def forecast_batch(
        self, requests: Sequence[RowsRequest], **options: Unpack[CallOptions]
    ) -> list[Forecast | Problem]: ...
    @overload
    def forecast_batch(
        self, requests: Sequence[ForecastRequest], **options: Unpack[CallOptions]
    ) -> list[Forecast | ColumnarForecast | Problem]: ...
    def forecast_batch(self, requests: Sequence[Any], **options: Unpack[CallOptions]) -> list[Any]:
        """Many forecasts in one call: one result a request, in order, each a forecast or a problem (`is_problem`).

        A result that is a problem is not asked for again.
        """
        answer = self._call("POST", "/forecast/batch", {"requests": list(requests)}, options)
        return cast("list[Any]", answer["results"])

    def models(
        self,
        limit: int | None = None,
        page_token: str | None = None,
        *,
        rejected: bool = False,
        **options: Unpack[CallOptions],
    ) -> Iterator[ServedModel]:
        """What is served and the caller may read, one by one; pages of up to `limit` are fetched as they are needed.

        rejected: only segments whose champion cannot be used.
        """
        for page in self.model_pages(limit, page_token, rejected=rejected, **options):
            yield from page["models"]

    def model_pages(
        self,
        limit: int | None = None,
        page_token: str | None = None,
        *,
        rejected: bool = False,
        **options: Unpack[CallOptions],
    ) -> Iterator[ServedModels]:
        """The same page by page, from the one that page_token names, the `next_page_token` of an earlier page."""
        while True:
            page: ServedModels = self._call("GET", page_path(limit, page_token, rejected), None, options)
            yield page
            page_token = page["next_page_token"]
            if page_token is None:
                return

    def model(self, model_id: str, **options: Unpack[CallOptions]) -> ServedModel:
        """What is served for one segment."""
        return cast(ServedModel, self._call("GET", model_path(model_id), None, options))

    def health(self, **options: Unpack[CallOptions]) -> Health:
        """How the service and its catalog are; `degraded` still serves."""
        return cast(Health, self._call("GET", "/health", None, options))

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: str, path: str, body: Any, options: CallOptions) -> Any:
        key = self._key() if callable(self._key) else self._key
        steps = self._caller.steps(method, path, body, key, options)
        reply: Answer | Miss | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                return done.value
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                reply = None
            else:
                reply = self._send(step)

    def _send(self, step: Send) -> Answer | Miss:
        deadline = time.monotonic() + step.timeout
        try:
            with self._http.stream(
                step.method, step.url, headers=step.headers, content=step.body, timeout=step.timeout
            ) as response:
                pieces = []
                for piece in response.iter_bytes():
                    pieces.append(piece)
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("the body trickles in", request=response.request)
                return Answer(response.status_code, response.headers, b"".join(pieces))
        except httpx.RequestError as error:
            return Miss(late=isinstance(error, httpx.TimeoutException), cause=error)
