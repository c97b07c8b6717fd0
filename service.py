"""The two BentoML services: ForecastService speaks HTTP and forecasts, ProphetRunner fits.

`bentoml serve service:ForecastService` runs both; `make serve` does so on 127.0.0.1:3000.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

# In a Bento and in an image the project is not installed: its rooms lie in src/ beside this file.
sys.path.insert(0, str(Path(__file__).parent / "src"))

import bentoml
import click
from aiohttp import ClientConnectionError
from bentoml.exceptions import BentoMLException
from pydantic import TypeAdapter
from starlette.convertors import PathConvertor, register_url_convertor

from serving.app import ForecastApp
from serving.backend import WorkerBackend
from serving.catalog import open_registry, registry_of_environment
from serving.catalog_health import gauges_of
from serving.follower import Follower
from serving.forecaster import Forecaster
from serving.gate import ListensTooFar, check_host, default_host
from serving.logs import set_up_logs
from serving.metrics import Metrics
from serving.outcomes import Outcome, Refused
from serving.process import settle
from serving.schemas import ForecastRequest
from serving.settings import Settings

settings = Settings()
http = ForecastApp(settings)

# The margin lets our own timeout answer first, with a problem document.
_HOP_TIMEOUT = settings.timeout_seconds + 2

# BentoML closes the connections of a hop every 100 requests and kills what is in flight on them
# (bentoml/BentoML#5540): never let that count run out.
_KEEP_CONNECTIONS = {"max_requests": 10**12, "max_age": 1e9}

_HOP_TRIES = 3

# Each costs more than a forecast does: docs/decisions/0012-lean-services.md. We log requests ourselves, if asked to.
_LEAN = {
    "tracing": {} if settings.tracing else {"excluded_urls": [".*"]},
    "logging": {"access": {"enabled": False}},
}

# What a hop brings back is plain dicts, whatever types went in.
_OUTCOMES = TypeAdapter(list[Outcome])


class _AnyPath(PathConvertor):
    """What our app is mounted for: Starlette's own pattern ends at a newline, and BentoML answers what it misses."""

    regex = "(?s:.*)"


register_url_convertor("path", _AnyPath())


@bentoml.service(
    name="ProphetRunner",
    workers=settings.runner_workers,
    traffic={"timeout": _HOP_TIMEOUT},
    runner_connection=_KEEP_CONNECTIONS,
    **_LEAN,
)
class ProphetRunner:
    """Fits, and forecasts by the real Prophet, in processes of their own, batched by BentoML."""

    def __init__(self) -> None:
        set_up_logs(settings.log_format)
        self._forecaster = Forecaster(open_registry(), settings)
        settle()

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True,
        max_batch_size=settings.runner_max_batch,
        max_latency_ms=int(settings.timeout_seconds * 1000),
    )
    def answer(self, requests: list[ForecastRequest]) -> list[Outcome]:
        """One outcome a request: in a batch of strangers, errors are values."""
        return self._forecaster.answer(requests)


@bentoml.service(
    name="ForecastService",
    traffic={"timeout": _HOP_TIMEOUT},
    **_LEAN,
    http={"host": default_host(settings)},
    # Their endpoint label is the raw path; ours, in serving.metrics, is the route.
    metrics={"enabled": False},
)
@bentoml.asgi_app(http, path="/")
class ForecastService:
    """The public HTTP service; it forecasts registered segments itself."""

    runner = bentoml.depends(ProphetRunner)

    def __init__(self) -> None:
        set_up_logs(settings.log_format)
        registry = registry_of_environment()
        follower = Follower(registry, settings)
        metrics = Metrics(multiprocess="PROMETHEUS_MULTIPROC_DIR" in os.environ, gauges=lambda: gauges_of(follower))
        self._metrics = metrics
        self._backend = WorkerBackend(self._ask, registry, settings, follower=follower, count_batch=metrics.count_batch)
        http.connect(self._backend, metrics)
        follower.start()
        settle()

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check_host() -> None:
        """Before `bentoml serve` opens its socket; each worker looks at its callers' addresses besides."""
        command = click.get_current_context(silent=True)
        host = command.params.get("host") if command is not None else None
        try:
            check_host(host or default_host(settings), settings)
        except ListensTooFar as error:
            sys.exit(f"prophet-serving: {error}")

    async def __is_ready__(self) -> bool:
        return await self._backend.is_ready()

    async def _ask(self, requests: Sequence[ForecastRequest]) -> Sequence[Outcome]:
        with self._metrics.at_runners(len(requests)):
            return await self._ask_runners(requests)

    async def _ask_runners(self, requests: Sequence[ForecastRequest]) -> Sequence[Outcome]:
        # A runner closes connections that were idle for five seconds, at times just when one is picked
        # (bentoml/BentoML#4971). A forecast may be asked twice: it changes nothing.
        for _ in range(_HOP_TRIES):
            with contextlib.suppress(ClientConnectionError):
                try:
                    return _OUTCOMES.validate_python(await self.runner.to_async.answer(list(requests)))
                except BentoMLException as error:
                    raise Refused("overloaded", "no runner is free for this request") from error
        raise Refused("overloaded", "no runner answers this request")
