"""What stands behind the HTTP app in a worker: runners for forecasts, the registry for everything else."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from registry.errors import BadSegment, NoChampion, RegistryError, RegistryUnavailable, UnknownSegment
from registry.registry import Registry
from registry.versions import ModelVersion
from serving.outcomes import Outcome, Refused
from serving.schemas import ForecastRequest, Health, ServedModel, ServedModels

log = logging.getLogger("serving.backend")

Ask = Callable[[Sequence[ForecastRequest]], Awaitable[Sequence[Outcome]]]
Answer = TypeVar("Answer")

_CHECK_SECONDS = 2.0  # a health probe older than this is made anew


class RunnerBackend:
    """Sends forecasts to the runners, one request a call so that the runner's batcher may merge them."""

    def __init__(self, ask: Ask, registry: Registry) -> None:
        self._ask = ask
        self._registry = registry
        self._checked_at = -_CHECK_SECONDS
        self._fault: str | None = None

    async def forecast(self, request: ForecastRequest) -> Outcome:
        """The outcome of one request. Raises Refused when no runner takes it."""
        (outcome,) = await self._ask([request])
        return outcome

    async def models(self, limit: int, page_token: str | None) -> ServedModels:
        """A page of champions. Raises Refused."""
        versions, token = await self._from_registry(lambda: self._registry.champions(limit, page_token))
        return ServedModels(models=[_served(version) for version in versions], next_page_token=token)

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
