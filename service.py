"""The two BentoML services: ForecastService speaks HTTP and forecasts, ProphetRunner fits.

`bentoml serve service:ForecastService` runs both; `make serve` does so on 127.0.0.1:3000.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

# In a Bento and in an image the project is not installed: its rooms lie in src/ beside this file.
sys.path.insert(0, str(Path(__file__).parent / "src"))

import bentoml
import click
from aiohttp import ClientConnectionError
from bentoml.exceptions import BentoMLException
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.types import Receive, Scope, Send

# The process above the workers reads this file, too. What only they need they import as they start: pandas and its
# like would hold up their start by seconds, and stay in the memory of a process that forecasts nothing.
from serving.gate import Gate, ListensTooFar, check_host, default_host
from serving.histories import InlineHistory
from serving.keys import KeyFileError
from serving.logs import set_up_logs
from serving.outcomes import Outcome, Refused
from serving.process import settle
from serving.schemas import ForecastRequest
from serving.settings import Settings
from serving.supervisor import end_in_order, replace_killed_workers
from serving.wire import bound_requests

if TYPE_CHECKING:
    from serving.fits import Fitted
    from serving.worker import Worker

settings = Settings()

# The margin lets our own timeout answer first, with a problem document.
_HOP_TIMEOUT = settings.timeout_seconds + 2

# BentoML closes the connections of a hop every 100 requests and kills what is in flight on them
# (bentoml/BentoML#5540): never let that count run out.
KEEP_CONNECTIONS = {"max_requests": 10**12, "max_age": 1e9}

_HOP_TRIES = 3

_LOG_GRACE = 4.0  # seconds that the end of a worker waits for the forecast log's database

# Where spans go is OpenTelemetry's own to say: OTEL_EXPORTER_OTLP_ENDPOINT and its like.
_TRACED = {
    "exporter_type": "otlp",
    "otlp": {"protocol": "http"},
    "sample_rate": settings.tracing_rate,
    "excluded_urls": ["/livez", "/readyz", "/healthz", "/health", "/metrics"],
}
# What the Bento's image stands on. "custom" is no distribution that BentoML knows, and so it installs no compiler and
# no git, 700 MB of them; bentofile.yaml cannot say that. The solver comes before the rest, so as to be compiled.
_IMAGE = bentoml.images.Image(
    base_image="docker.io/library/python:3.11-slim", distro="custom", build_include_paths=["src/forecasting"]
)

# A runner's answer closes its connection, so that the next call is taken by a process that is free: one that was kept
# would lead to the same process, busy or not.
_ONE_CALL = {"Connection": "close"}

# Each costs more than a forecast does: docs/decisions/0012-lean-services.md. We log requests ourselves, if asked to.
_LEAN = {
    "tracing": _TRACED if settings.tracing else {"excluded_urls": [".*"]},
    "logging": {"access": {"enabled": False}},
}


class _AnyPath(PathConvertor):
    """What our app is mounted for: Starlette's own pattern ends at a newline, and BentoML answers what it misses."""

    regex = "(?s:.*)"


class _Entrance:
    """What BentoML mounts: the app of the worker that this process becomes."""

    worker: Worker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.worker.app(scope, receive, send)


http = _Entrance()
register_url_convertor("path", _AnyPath())
bound_requests(settings.timeout_seconds)


@bentoml.service(
    name="ProphetRunner",
    workers=settings.runner_workers,
    traffic={"timeout": _HOP_TIMEOUT},
    runner_connection=KEEP_CONNECTIONS,
    **_LEAN,
)
class ProphetRunner:
    """Fits, and forecasts by the real Prophet, in processes of its own; HTTP workers batch what they ask of it."""

    def __init__(self) -> None:
        set_up_logs(settings.log_format)
        from serving.catalog import registry_of_environment
        from serving.forecaster import Forecaster

        self._forecaster = Forecaster(registry_of_environment(), settings)
        settle()

    @bentoml.api  # type: ignore[untyped-decorator]
    def fit(self, histories: list[InlineHistory], ctx: bentoml.Context) -> bytes:
        """Models and refusals, one a history, in a pickle: BentoML would make plain dicts of them."""
        ctx.response.headers.update(_ONE_CALL)
        return pickle.dumps(self._forecaster.fit(histories), pickle.HIGHEST_PROTOCOL)

    @bentoml.api  # type: ignore[untyped-decorator]
    def answer(self, requests: list[ForecastRequest], ctx: bentoml.Context) -> bytes:
        """Outcomes, one a request of a registered segment, in a pickle likewise."""
        ctx.response.headers.update(_ONE_CALL)
        return pickle.dumps(self._forecaster.answer(requests), pickle.HIGHEST_PROTOCOL)


class Hops:
    """The runners, as HTTP workers ask them."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner.to_async

    async def fit(self, histories: Sequence[InlineHistory]) -> Sequence[Fitted]:
        """Raises Refused."""
        found: Sequence[Fitted] = await _hop(lambda: self._runner.fit(histories=list(histories)))
        return found

    async def answer(self, requests: Sequence[ForecastRequest]) -> Sequence[Outcome]:
        """Raises Refused."""
        found: Sequence[Outcome] = await _hop(lambda: self._runner.answer(requests=list(requests)))
        return found


async def _hop(call: Callable[[], Awaitable[bytes]]) -> Any:
    """What a runner sent back. Raises Refused."""
    # A runner that dies breaks the calls it has, and another takes them: a forecast may be asked twice, it changes
    # nothing.
    for _ in range(_HOP_TRIES):
        with contextlib.suppress(ClientConnectionError):
            try:
                return pickle.loads(await call())
            except BentoMLException as error:
                raise Refused("overloaded", "no runner is free for this request") from error
    raise Refused("overloaded", "no runner answers this request")


@bentoml.service(
    name="ForecastService",
    traffic={"timeout": _HOP_TIMEOUT},
    **_LEAN,
    image=_IMAGE,
    http={"host": default_host(settings)},
    # Their endpoint label is the raw path; ours, in serving.metrics, is the route.
    metrics={"enabled": False},
    # Ready means that registered segments can be forecast. A runner that is killed, or not there yet, makes histories
    # wait; it must not take this host from those who need none.
    runner_probe={"enabled": False},
)
@bentoml.asgi_app(http, path="/")
class ForecastService:
    """The public HTTP service; it forecasts registered segments itself."""

    runner = bentoml.depends(ProphetRunner)

    def __init__(self) -> None:
        set_up_logs(settings.log_format)
        from serving.worker import start_worker

        http.worker = start_worker(settings, Hops(self.runner))
        settle()

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def prepare() -> None:
        """In the process above the workers, before it opens the socket; each worker looks at its callers besides."""
        replace_killed_workers()
        end_in_order()
        command = click.get_current_context(silent=True)
        host = command.params.get("host") if command is not None else None
        try:
            check_host(host or default_host(settings), settings)
            Gate(settings)
        except (ListensTooFar, KeyFileError) as error:
            sys.exit(f"prophet-serving: {error}")

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def write_what_waits(self) -> None:
        """The last requests are answered: their forecasts belong into the forecast log."""
        if http.worker.log is not None:
            await asyncio.to_thread(http.worker.log.close, _LOG_GRACE)

    async def __is_ready__(self) -> bool:
        return await http.worker.backend.is_ready()
