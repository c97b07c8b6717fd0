"""What stands behind the HTTP app in a worker: its own models, runners for what they cannot do, the registry."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from cachetools import LRUCache

from forecasting.forecast import prepare
from forecasting.intervals import Mode
from registry.errors import BadSegment, NoChampion, RegistryError, RegistryUnavailable, UnknownSegment
from registry.registry import Registry
from registry.versions import ModelVersion
from serving.access import Caller
from serving.batcher import Batcher
from serving.catalog import Catalog, Loaded
from serving.champions import Champions
from serving.loading import load_arrays
from serving.model import ServingModel, outcome_of
from serving.outcomes import Outcome, Refused
from serving.schemas import ForecastRequest, Health, ServedModel, ServedModels
from serving.settings import Settings

log = logging.getLogger("serving.backend")

Ask = Callable[[Sequence[ForecastRequest]], Awaitable[Sequence[Outcome]]]
Answer = TypeVar("Answer")

_USUAL_WIDTH = 0.8  # Prophet's default
_WIDTHS = 8  # whose tables forecasting keeps, at least
_CHECK_SECONDS = 2.0  # a health probe older than this is made anew


class WorkerBackend:
    """Forecasts registered segments in this process, from arrays, and sends the rest to the runners.

    The rest is inline history, which has to be fitted; rows of the history, which workers do not keep; and models
    that only the real Prophet can predict. Each request to a runner is a call of its own: its batcher merges them.

    champions: gives the catalog of this moment, None while there is none; what asks it for nothing special is
    forecast in batches. count_batch: is told their sizes.
    """

    def __init__(
        self,
        ask: Ask,
        registry: Registry,
        settings: Settings,
        *,
        champions: Callable[[], Champions | None] = lambda: None,
        count_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._champions = champions
        self._batcher = Batcher(count_batch)
        self._batchable = settings.mode is Mode.PROCESS  # a row of the other law depends on its neighbours
        self._ask = ask
        self._registry = registry
        self._catalog: Catalog[ServingModel | None] = Catalog(
            registry, settings, lambda version, text: load_arrays(version, text, settings.mode), settings.models_cached
        )
        self._asked: dict[tuple[str, int | None], asyncio.Task[Loaded[ServingModel | None]]] = {}
        self._widths: LRUCache[float, bool] = LRUCache(_WIDTHS)
        self._prepare(_USUAL_WIDTH)
        self._checked_at = -_CHECK_SECONDS
        self._fault: str | None = None

    def forecast(self, request: ForecastRequest) -> Awaitable[Outcome]:
        """The outcome of one request."""
        champions = self._champions() if self._batchable else None
        row = None if champions is None else champions.row_for(request)
        if champions is None or row is None:
            return self._singly(request)
        return self._batcher.submit(champions, row, request)

    async def _singly(self, request: ForecastRequest) -> Outcome:
        try:
            model = None if request.data is not None or request.include_history else await self._model(request)
            if model is None:
                (outcome,) = await self._ask([request])
                return outcome
        except Refused as error:
            return error.refusal
        if request.interval_width is not None and request.interval_width not in self._widths:
            await asyncio.to_thread(self._prepare, request.interval_width)
        return outcome_of(request, lambda _: model)

    def _prepare(self, interval_width: float) -> None:
        """Solve the tables of a width that was not asked for lately; too long a pause for those who wait meanwhile."""
        prepare(interval_width)
        self._widths[interval_width] = True

    async def _model(self, request: ForecastRequest) -> ServingModel | None:
        """The registered model of a request, None where it takes a runner. Raises Refused."""
        loaded = self._catalog.fresh(request.model_id) if request.version is None else None
        return (loaded or await self._load(request.model_id, request.version)).model

    async def _load(self, segment: str, number: int | None) -> Loaded[ServingModel | None]:
        """Ask the registry in a thread, once for all who want the same at the same time. Raises Refused."""
        key = segment, number
        if key not in self._asked:
            load = (
                partial(self._catalog.champion, segment)
                if number is None
                else partial(self._catalog.version, segment, number)
            )
            self._asked[key] = asyncio.create_task(asyncio.to_thread(load))
            self._asked[key].add_done_callback(lambda _: self._asked.pop(key))
        return await asyncio.shield(self._asked[key])

    async def models(self, limit: int, page_token: str | None, caller: Caller) -> ServedModels:
        """A page of the champions that the caller may read. Raises Refused."""
        versions, token = await self._from_registry(lambda: self._registry.champions(limit, page_token, caller.prefix))
        readable = [_served(version) for version in versions if caller.may_read(version.segment)]
        return ServedModels(models=readable, next_page_token=token)

    async def model(self, model_id: str) -> ServedModel:
        """One segment's champion. Raises Refused."""
        return _served(await self._from_registry(lambda: self._registry.champion(model_id)))

    async def health(self) -> Health:
        """Whether the registry answers; asked at most every two seconds."""
        fault = await self._registry_fault()
        return Health(
            status="degraded" if fault else "healthy",
            registry="unreachable" if fault else "reachable",
            problems=[fault] if fault else [],
        )

    async def is_ready(self) -> bool:
        """Whether forecasts of registered segments can be answered, as far as this worker knows."""
        return await self._registry_fault() is None

    async def _registry_fault(self) -> str | None:
        if time.monotonic() - self._checked_at >= _CHECK_SECONDS:
            self._checked_at = time.monotonic()
            try:
                await asyncio.to_thread(self._registry.ping)
                self._fault = None
            except RegistryUnavailable as error:
                log.warning("%s", error)
                self._fault = "the model registry does not answer: loaded models go on serving, promotions wait"
        return self._fault

    async def _from_registry(self, question: Callable[[], Answer]) -> Answer:
        try:
            return await asyncio.to_thread(question)
        except (UnknownSegment, BadSegment) as error:
            raise Refused("unknown_segment", str(error)) from error
        except NoChampion as error:
            raise Refused("no_champion", str(error)) from error
        except RegistryUnavailable as error:
            log.warning("%s", error)
            raise Refused("registry_unavailable", "the model registry does not answer") from error
        except RegistryError as error:
            raise Refused("invalid_request", str(error)) from error


def _served(version: ModelVersion) -> ServedModel:
    tags = version.tags
    return ServedModel(
        model_id=version.segment,
        name=version.name,
        version=version.version,
        run_id=version.run_id,
        created_at=version.created.isoformat(),
        trained_through=tags.get("forecast.trained_through"),
        freq=tags.get("forecast.freq"),
        solver=tags.get("forecast.solver"),
        metrics=version.metrics,
    )
