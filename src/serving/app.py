"""The HTTP contract as a Starlette app: reads requests, asks for outcomes, writes answers.

It knows neither how a forecast is made nor what a registry is; both are handed in as a Backend.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.metrics import Metrics
from serving.openapi import openapi_document
from serving.outcomes import Outcome, Refusal, Refused
from serving.problems import as_problem, from_validation, problem_response
from serving.schemas import (
    BatchRequest,
    BatchResponse,
    Fault,
    ForecastRequest,
    Health,
    ServedModel,
    ServedModels,
)
from serving.settings import Settings

log = logging.getLogger("serving.app")
Body = TypeVar("Body", bound=BaseModel)
Answer = TypeVar("Answer")


class Backend(Protocol):
    """What the app needs behind it; each method raises Refused."""

    def forecast(self, request: ForecastRequest) -> Awaitable[Outcome]: ...
    def models(self, limit: int, page_token: str | None) -> Awaitable[ServedModels]: ...
    def model(self, model_id: str) -> Awaitable[ServedModel]: ...
    def health(self) -> Awaitable[Health]: ...


class ForecastApp:
    """The ASGI app of the public service.

    It is built when service.py is imported, before a worker has anything to ask; `connect` gives it its
    backend and its metrics when the worker starts.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._backend: Backend | None = None
        self._metrics: Metrics | None = None
        self._inner = Starlette(
            routes=[
                Route("/forecast", self._forecast, methods=["POST"]),
                Route("/forecast/batch", self._batch, methods=["POST"]),
                Route("/health", self._health, methods=["GET"]),
                Route("/models", self._models, methods=["GET"]),
                Route("/models/{model_id:path}", self._model, methods=["GET"]),
                Route("/metrics", self._exposition, methods=["GET"]),
                Route("/openapi.json", self._openapi, methods=["GET"]),
            ],
            exception_handlers={
                HTTPException: _refuse_route,
                Refused: _refuse,
                Exception: _fail,
            },
        )
        self._inner.router.redirect_slashes = False

    def connect(self, backend: Backend, metrics: Metrics) -> None:
        """Start answering from this backend."""
        self._backend = backend
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._metrics is None:
            await self._inner(scope, receive, send)
            return
        await _measured(self._inner, self._metrics, scope, receive, send)

    async def _forecast(self, request: Request) -> Response:
        asked = await self._read(request, ForecastRequest)
        self._check_limits(asked, "")
        outcome = await self._within_time(self._ready.forecast(asked))
        if isinstance(outcome, Refusal):
            return problem_response(outcome)
        return _json(outcome)

    async def _batch(self, request: Request) -> Response:
        batch = await self._read(request, BatchRequest)
        most = self._settings.max_batch
        if len(batch.requests) > most:
            raise _over_limit("requests", f"{len(batch.requests)} requests; this service takes {most} at once")
        for number, asked in enumerate(batch.requests):
            self._check_limits(asked, f"requests.{number}.")
        outcomes = await self._within_time(asyncio.gather(*map(self._ready.forecast, batch.requests)))
        results = [as_problem(outcome) if isinstance(outcome, Refusal) else outcome for outcome in outcomes]
        return _json(BatchResponse.model_construct(results=results))

    async def _models(self, request: Request) -> Response:
        text = request.query_params.get("limit", "100")
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= 1000):
            raise _over_limit("limit", "limit is a whole number from 1 to 1000")
        return _json(await self._ready.models(int(text), request.query_params.get("page_token")))

    async def _model(self, request: Request) -> Response:
        return _json(await self._ready.model(request.path_params["model_id"]))

    async def _health(self, _: Request) -> Response:
        return _json(await self._ready.health())

    async def _exposition(self, _: Request) -> Response:
        assert self._metrics is not None
        return await asyncio.to_thread(self._metrics.exposition)

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(openapi_document())

    @property
    def _ready(self) -> Backend:
        if self._backend is None:
            raise Refused("overloaded", "this worker is still starting")
        return self._backend

    async def _read(self, request: Request, kind: type[Body]) -> Body:
        try:
            return kind.model_validate_json(await self._body(request))
        except ValidationError as error:
            raise from_validation(error) from error

    async def _body(self, request: Request) -> bytes:
        """Read the body, and stop where it grows too large."""
        most = self._settings.max_body_bytes
        refusal = Refused("body_too_large", f"the body is larger than {most} bytes, which is the limit here")
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > most:
            raise refusal
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise refusal
        return bytes(body)

    def _check_limits(self, asked: ForecastRequest, place: str) -> None:
        settings = self._settings
        if asked.periods > settings.max_periods:
            raise _over_limit(
                f"{place}periods", f"{asked.periods} periods; this service forecasts {settings.max_periods}"
            )
        if asked.data is not None and len(asked.data) > settings.max_rows:
            raise _over_limit(f"{place}data", f"{len(asked.data)} rows; this service takes {settings.max_rows}")

    async def _within_time(self, work: Awaitable[Answer]) -> Answer:
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await work
        except TimeoutError:
            seconds = self._settings.timeout_seconds
            raise Refused("timeout", f"no forecast within {seconds:g} seconds") from None


async def _measured(app: ASGIApp, metrics: Metrics, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the app and count the answer under its route's pattern."""
    started = time.perf_counter()
    status = 500

    async def observe(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)

    try:
        await app(scope, receive, observe)
    finally:
        route = scope.get("route")
        pattern = route.path if isinstance(route, Route) else "other"
        metrics.count(pattern, status, time.perf_counter() - started)


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _over_limit(place: str, message: str) -> Refused:
    return Refused("invalid_request", message, (Fault(place=place, message=message),))


def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem_response(error.refusal)


def _refuse_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        detail = f"{request.method} is not for this path; it takes {(error.headers or {}).get('Allow', 'others')}"
        return problem_response(Refusal("method_not_allowed", detail), dict(error.headers or {}))
    return problem_response(Refusal("not_found", "there is nothing at this path"))


def _fail(_: Request, error: Exception) -> Response:
    if not isinstance(error, ClientDisconnect):
        log.error("unplanned failure", exc_info=error)
    return problem_response(Refusal("internal_error", "the service failed on this request; its log says why"))
