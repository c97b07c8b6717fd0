"""What stands behind the HTTP app in a worker: its own models, runners for what they cannot do, the registry."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from cachetools import LRUCache

from forecasting.forecast import prepare
from forecasting.intervals import Mode
from registry.errors import BadSegment, NoChampion, RegistryError, RegistryUnavailable, UnknownSegment
from registry.registry import Registry
from registry.versions import ModelVersion
from serving.access import Caller
from serving.batcher import Batcher
from serving.catalog import Catalog, Loaded
from serving.catalog_health import health_of, problems_of
from serving.champions import Champions
from serving.fits import Fits, Fitted, inline_model
from serving.follower import Follower
from serving.histories import InlineHistory
from serving.listing import Page
from serving.loading import load_arrays, load_row
from serving.metrics import Metrics
from serving.model import ServingModel, outcome_of, served_model
from serving.outcomes import Outcome, Refusal, Refused
from serving.runner_queue import RunnerQueue
from serving.schemas import ForecastRequest, Health, Point
from serving.settings import Settings
from serving.syncer import REGISTRY_AWAY

log = logging.getLogger("serving.backend")

Answer = TypeVar("Answer")

_USUAL_WIDTH = 0.8  # Prophet's default
_WIDTHS = 8  # whose tables forecasting keeps, at least
_MANY_ROWS = 4000  # take long enough to forecast that others should have their turns meanwhile
_CHECK_SECONDS = 2.0  # a health probe older than this is made anew


class Runners(Protocol):
    """The processes behind this one; each method raises Refused where none of them answers."""

    async def fit(self, histories: Sequence[InlineHistory]) -> Sequence[Fitted]:
        """A model or a refusal for each history, in order."""

    async def answer(self, requests: Sequence[ForecastRequest]) -> Sequence[Outcome]:
        """An outcome for each request of a registered segment, in order."""


class WorkerBackend:
    """Forecasts registered segments in this process, from arrays, and sends the rest to the runners.

    The rest is inline history, which has to be fitted and is then forecast here; rows of a registered history, which
    workers do not keep; and models that only the real Prophet can predict. Both kinds wait in a queue of their own.

    Champions come from the snapshot that `follower` maps, what asks for nothing special in batches; what is not in it,
    or where nobody follows, is looked up in the registry. more_problems: what else is wrong, for `health`.
    """

    def __init__(
        self,
        runners: Runners,
        registry: Registry,
        settings: Settings,
        *,
        follower: Follower | None = None,
        metrics: Metrics | None = None,
        more_problems: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        metrics = metrics or Metrics(multiprocess=False)
        self._follower = follower
        self._more_problems = more_problems
        self._batcher = Batcher(metrics.count_batch)
        self._batchable = settings.mode is Mode.PROCESS  # a row of the other law depends on its neighbours
        self._mode = settings.mode
        limits = {"calls": settings.runner_calls, "most": settings.runner_queue}
        fitting = RunnerQueue(runners.fit, **limits, batch=settings.runner_max_batch, watch=metrics.runners("fit"))
        self._fits = Fits(fitting, settings, metrics.count_fit)
        # What only Prophet predicts takes it long, and two of them share no work.
        self._answers = RunnerQueue(runners.answer, **limits, batch=1, watch=metrics.runners("answer"))
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
        champions = self._champions
        row = champions.row_for(request) if champions is not None and self._batchable else None
        if champions is None or row is None:
            return self._singly(request, champions)
        return self._batcher.submit(champions, row, request)

    async def _singly(self, request: ForecastRequest, champions: Champions | None) -> Outcome:
        try:
            if champions is not None and request.data is None and request.version is None:
                number = champions.snapshot.version(request.model_id)
                request = request if number is None else request.model_copy(update={"version": number})
            if request.data is not None:
                model: ServingModel | None = await self._inline(request.data)
            else:
                model = None if request.include_history else await self._model(request, champions)
            if model is None:
                return await self._answers.submit(request)
        except Refused as error:
            return error.refusal
        if request.interval_width is not None and request.interval_width not in self._widths:
            await asyncio.to_thread(self._prepare, request.interval_width)
        history = request.data if request.include_history and request.data else ()
        if request.periods + len(history) > _MANY_ROWS:
            return await asyncio.to_thread(outcome_of, request, lambda _: model)
        return outcome_of(request, lambda _: model)

    async def _inline(self, data: Sequence[Point]) -> ServingModel:
        """The model of a request's own history. Raises Refused."""
        fitted = await self._fits.fitted(data)
        if isinstance(fitted, Refusal):
            raise Refused.of(fitted)
        return inline_model(fitted, data, self._mode)

    @property
    def _champions(self) -> Champions | None:
        return None if self._follower is None else self._follower.champions

    def _prepare(self, interval_width: float) -> None:
        """Solve the tables of a width that was not asked for lately; too long a pause for those who wait meanwhile."""
        prepare(interval_width)
        self._widths[interval_width] = True

    async def _model(self, request: ForecastRequest, champions: Champions | None) -> ServingModel | None:
        """The registered model of a request, None where it takes a runner. Raises Refused."""
        if champions is not None and request.version is not None:
            snapshot = champions.snapshot
            row = snapshot.find(request.model_id)
            if row is not None and snapshot.mark(row).version == request.version:
                return load_row(snapshot, row, self._mode)
            if snapshot.version(request.model_id) == request.version:
                return None
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

    async def models(self, limit: int, page_token: str | None, caller: Caller, *, rejected: bool) -> Page:
        """A page of what is served and the caller may read; rejected: only where the champion is not. Raises Refused.

        From the catalog; where none can be kept on this host, from the registry, which knows of no rejections.
        """
        if (champions := self._champions) is not None:
            return await champions.listing.page(limit, page_token, caller, rejected=rejected)
        if rejected:
            return Page([], None)
        versions, token = await self._from_registry(lambda: self._registry.champions(limit, page_token, caller.prefix))
        return Page([_described(version) for version in versions if caller.may_read(version.segment)], token)

    async def model(self, model_id: str, caller: Caller) -> bytes:
        """What is served for one segment, a ServedModel in JSON. Raises Refused."""
        champions = self._champions
        known = None if champions is None else champions.listing.one(model_id, caller)
        return known or _described(await self._from_registry(lambda: self._registry.champion(model_id)))

    async def hint(self, segment: str) -> None:
        """Let the catalog's syncer look at a segment soon. Raises Refused where no hint can be left."""
        if self._follower is None:
            return
        try:
            taken = await asyncio.to_thread(self._follower.hint, segment)
        except OSError as error:
            log.warning("a hint that a champion has changed cannot be left: %s", error)
            taken = False
        if not taken:
            raise Refused("overloaded", "too many changes are waiting to be looked at")

    async def health(self) -> Health:
        """Whether the registry answers, and how the catalog follows it."""
        fault = await self._registry_fault()
        problems = dict.fromkeys([*([fault] if fault else []), *problems_of(self._follower), *self._more_problems()])
        return Health(
            status="degraded" if problems else "healthy",
            registry="unreachable" if fault else "reachable",
            catalog=health_of(self._follower),
            problems=list(problems),
        )

    async def is_ready(self) -> bool:
        """Whether forecasts of registered segments can be answered, as far as this worker knows.

        With a catalog, or, where none can be kept on this host, with a registry to ask.
        """
        if self._follower is not None:
            if (champions := self._champions) is not None and champions.snapshot.contents.complete:
                return True
            if self._follower.notice.fault is None:
                return False
        return await self._registry_fault() is None

    async def _registry_fault(self) -> str | None:
        """What is wrong with the registry: as the syncer last found it, or, where there is none, as a ping does."""
        if self._follower is not None and self._follower.follows:
            return REGISTRY_AWAY if self._follower.notice.fault == REGISTRY_AWAY else None
        if time.monotonic() - self._checked_at >= _CHECK_SECONDS:
            self._checked_at = time.monotonic()
            try:
                await asyncio.to_thread(self._registry.ping)
                self._fault = None
            except RegistryUnavailable as error:
                log.warning("%s", error)
                self._fault = REGISTRY_AWAY
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


def _described(version: ModelVersion) -> bytes:
    return served_model(version).model_dump_json().encode()
