"""The HTTP contract as a Starlette app: reads requests, asks for outcomes, writes answers.

It knows neither how a forecast is made nor what a registry is; both are handed in as a Backend.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from serving import arrow, hooks
from serving.access import Caller
from serving.compression import compressed
from serving.gate import Gate
from serving.listing import Page
from serving.logs import enter_request, log_access, name_caller
from serving.metrics import Metrics
from serving.openapi import openapi_document
from serving.outcomes import INTERNAL_ERROR, Outcome, Refusal, Refused
from serving.problems import as_problem, from_validation, problem_response
from serving.rate import RateLimiter
from serving.rendering import batch_json, forecast_json, problem_json
from serving.schemas import BatchRequest, Fault, ForecastRequest, Health
from serving.settings import Settings

log = logging.getLogger("serving.app")
Body = TypeVar("Body", bound=BaseModel)
Done = TypeVar("Done")
Handler = Callable[[Request], Awaitable[Response]]
Record = Callable[[Sequence[ForecastRequest], Sequence[Outcome], Caller], None]
CallersHandler = Callable[[Request, Caller], Awaitable[Response]]

_ONE_MODEL = "/models/{model_id}"
_RENDERED_AT_ONCE = 64  # answers of a large batch that are written before others get their turn
_HELD_SECONDS = 0.25  # how long a refusal for overload is kept back
_FORBIDDEN = Refusal("forbidden", "this caller may not have this; whether it exists is not said")


class Backend(Protocol):
    """What the app needs behind it; each method raises Refused."""

    def forecast(self, request: ForecastRequest) -> Awaitable[Outcome]: ...
    def models(self, limit: int, page_token: str | None, caller: Caller, *, rejected: bool) -> Awaitable[Page]: ...
    def model(self, model_id: str, caller: Caller) -> Awaitable[bytes]: ...
    def hint(self, segment: str) -> Awaitable[None]: ...
    def health(self) -> Awaitable[Health]: ...


class ForecastApp:
    """The ASGI app of the public service; record: is told what came of each request's forecasts.

    It finds its few routes itself: a router's regular expressions, and the two layers of middleware that come with it,
    cost a fifth of what a forecast does.
    """

    def __init__(self, settings: Settings, backend: Backend, metrics: Metrics, record: Record | None = None) -> None:
        self._settings, self._backend, self._metrics, self._record = settings, backend, metrics, record
        self._gate = Gate(settings)
        self._hook_rate = RateLimiter()
        self.routes: dict[str, dict[str, Handler]] = {
            "/forecast": {"POST": self._admitted(self._forecast)},
            "/forecast/batch": {"POST": self._admitted(self._batch)},
            "/health": _got(self._health),
            "/models": _got(self._admitted(self._models)),
            _ONE_MODEL: _got(self._admitted(self._model)),
            "/hooks/mlflow": {} if settings.webhook_secret is None else {"POST": self._hook},
            "/metrics": _got(self._admitted(self._exposition)),
            "/openapi.json": _got(self._openapi),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        started = time.perf_counter()
        request_id = enter_request(scope)
        pattern, handlers = self._find(scope)
        response = await _answer(handlers, Request(scope, receive))
        response.raw_headers.append((b"x-request-id", request_id))
        try:
            await response(scope, receive, send)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.count(pattern, response.status_code, seconds)
            if self._settings.access_log:
                log_access(scope["method"], pattern, response.status_code, seconds)

    def _find(self, scope: Scope) -> tuple[str, dict[str, Handler]]:
        """The pattern of a path, never the raw path, and what answers there, by method."""
        path: str = scope["path"]
        handlers = self.routes.get(path)
        if handlers is not None:
            return path, handlers
        if path.startswith("/models/") and len(path) > len("/models/"):
            scope["path_params"] = {"model_id": path.removeprefix("/models/")}
            return _ONE_MODEL, self.routes[_ONE_MODEL]
        return "other", {}

    def _admitted(self, handler: CallersHandler) -> Handler:
        """Ask who is there before anything of the request is read."""

        async def admitted(request: Request) -> Response:
            caller = await self._gate.admit(request.scope)
            name_caller(caller.name)
            return await handler(request, caller)

        return admitted

    async def _forecast(self, request: Request, caller: Caller) -> Response:
        asked = await self._read(request, ForecastRequest)
        self._check_limits(asked, "")
        work = self._outcome(asked, caller)
        # A bare future is the batcher's, which is through before a timer is even set.
        outcome = await (work if isinstance(work, asyncio.Future) else self._within_time(work))
        self._metrics.count_outcome(_name_of(outcome))
        if self._record is not None:
            self._record([asked], [outcome], caller)
        if isinstance(outcome, Refusal):
            await _slow_down([outcome])
            return problem_response(outcome)
        return await compressed(request, forecast_json(outcome, asked.format))

    async def _batch(self, request: Request, caller: Caller) -> Response:
        batch = await self._read(request, BatchRequest)
        most = self._settings.max_batch
        if len(batch.requests) > most:
            raise _over_limit("requests", f"{len(batch.requests)} requests; this service takes {most} at once")
        for number, asked in enumerate(batch.requests):
            self._check_limits(asked, f"requests.{number}.")
        as_arrow = arrow.is_wanted(request.headers.get("accept", ""))
        if as_arrow:
            arrow.check(batch)
        self._gate.charge(caller, len(batch.requests) - 1)
        outcomes = await self._within_time(asyncio.gather(*(self._outcome(asked, caller) for asked in batch.requests)))
        self._metrics.count_outcomes(map(_name_of, outcomes))
        if self._record is not None:
            self._record(batch.requests, outcomes, caller)
        await _slow_down(outcomes)
        if as_arrow:
            return Response(await asyncio.to_thread(arrow.batch_stream, outcomes), media_type=arrow.MEDIA_TYPE)
        return await compressed(request, batch_json(await _rendered(batch.requests, outcomes)))

    def _outcome(self, asked: ForecastRequest, caller: Caller) -> Awaitable[Outcome]:
        """A forecast for those who may have it; whether there is one, the others are not told."""
        if caller.inline if asked.data is not None else caller.may_read(asked.model_id):
            return self._backend.forecast(asked)
        return _forbidden()

    async def _models(self, request: Request, caller: Caller) -> Response:
        text = request.query_params.get("limit", "100")
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= 1000):
            raise _over_limit("limit", "limit is a whole number from 1 to 1000")
        rejected = request.query_params.get("rejected", "false")
        if rejected not in ("true", "false"):
            raise _over_limit("rejected", "rejected is true or false")
        token = request.query_params.get("page_token")
        work = self._backend.models(int(text), token, caller, rejected=rejected == "true")
        return await compressed(request, (await self._within_time(work)).as_json())

    async def _model(self, request: Request, caller: Caller) -> Response:
        segment = request.path_params["model_id"]
        if not caller.may_read(segment):
            return problem_response(_FORBIDDEN)
        return Response(await self._backend.model(segment, caller), media_type="application/json")

    async def _hook(self, request: Request) -> Response:
        """A webhook of MLflow's, which shows its own signature instead of a key."""
        secret = self._settings.webhook_secret
        assert secret is not None
        hooks.check_age(request.headers)
        body = bytes(await self._body(request, hooks.MOST_BYTES))
        hooks.check_signature(secret.get_secret_value(), request.headers, body)
        if wait := self._hook_rate.take("mlflow", hooks.RATE):
            raise Refused("rate_limited", "more deliveries than this worker takes", retry_after=wait)
        if (segment := hooks.segment_in(body)) is not None:
            await self._backend.hint(segment)
        return Response(status_code=204)

    async def _health(self, _: Request) -> Response:
        return _json(await self._backend.health())

    async def _exposition(self, _: Request, caller: Caller) -> Response:
        if not caller.metrics:
            return problem_response(_FORBIDDEN)
        return await asyncio.to_thread(self._metrics.exposition)

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(openapi_document())

    async def _read(self, request: Request, kind: type[Body]) -> Body:
        try:
            return kind.model_validate_json(await self._body(request, self._settings.max_body_bytes))
        except ValidationError as error:
            raise from_validation(error) from error

    async def _body(self, request: Request, most: int) -> bytearray:
        """Read the body, and stop where it grows larger than `most` bytes."""
        declared = next((value for name, value in request.scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > most:
            raise _too_large(most)
        body, more = bytearray(), True
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > most:
                raise _too_large(most)
        return body

    def _check_limits(self, asked: ForecastRequest, place: str) -> None:
        settings = self._settings
        if asked.periods > settings.max_periods:
            raise _over_limit(
                f"{place}periods", f"{asked.periods} periods; this service forecasts {settings.max_periods}"
            )
        if asked.data is not None and len(asked.data) > settings.max_rows:
            raise _over_limit(f"{place}data", f"{len(asked.data)} rows; this service takes {settings.max_rows}")

    async def _within_time(self, work: Awaitable[Done]) -> Done:
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await work
        except TimeoutError:
            seconds = self._settings.timeout_seconds
            raise Refused("timeout", f"no forecast within {seconds:g} seconds") from None


async def _answer(handlers: dict[str, Handler], request: Request) -> Response:
    """Let the method's handler answer; whatever it raises becomes a problem."""
    handler = handlers.get(request.method)
    try:
        if handler is not None:
            return await handler(request)
    except Refused as error:
        return problem_response(error.refusal)
    except Exception as error:
        if not isinstance(error, ClientDisconnect):
            log.error("unplanned failure", exc_info=error)
        return problem_response(INTERNAL_ERROR)
    if not handlers:
        return problem_response(Refusal("not_found", "there is nothing at this path"))
    allowed = ", ".join(sorted(handlers))
    detail = f"{request.method} is not for this path; it takes {allowed}"
    return problem_response(Refusal("method_not_allowed", detail), {"Allow": allowed})


async def _slow_down(outcomes: Sequence[Outcome]) -> None:
    """Keep callers who are refused for overload from asking again at once, whether they heed Retry-After or not.

    To read a history only to refuse it takes a worker a millisecond, so a few who ask without a pause would otherwise
    have all of its time.
    """
    if any(isinstance(outcome, Refusal) and outcome.code == "overloaded" for outcome in outcomes):
        await asyncio.sleep(_HELD_SECONDS)


def _name_of(outcome: Outcome) -> str:
    """How it is counted."""
    return outcome.code if isinstance(outcome, Refusal) else "forecast"


async def _forbidden() -> Outcome:
    return _FORBIDDEN


async def _rendered(requests: Sequence[ForecastRequest], outcomes: Sequence[Outcome]) -> list[bytes]:
    """The results of a batch as JSON; others get their turn while a large one is written."""
    results: list[bytes] = []
    for asked, outcome in zip(requests, outcomes, strict=True):
        if isinstance(outcome, Refusal):
            results.append(problem_json(as_problem(outcome)))
        else:
            results.append(forecast_json(outcome, asked.format))
        if len(results) % _RENDERED_AT_ONCE == 0:
            await asyncio.sleep(0)
    return results


def _got(handler: Handler) -> dict[str, Handler]:
    return {"GET": handler, "HEAD": handler}


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _too_large(most: int) -> Refused:
    return Refused("body_too_large", f"the body is larger than {most} bytes, which is the limit here")


def _over_limit(place: str, message: str) -> Refused:
    return Refused("invalid_request", message, (Fault(place=place, message=message),))
