"""A runner in the test's own process."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence

from registry.registry import Registry
from serving.fits import Fitted
from serving.forecaster import Forecaster
from serving.histories import InlineHistory
from serving.outcomes import Outcome
from serving.schemas import ForecastRequest
from serving.settings import Settings


class LocalRunners:
    """Does at once, in a thread, what it is asked, and notes it."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._forecaster = Forecaster(registry, settings)
        self.asked: list[ForecastRequest] = []
        self.fitted: list[InlineHistory] = []

    async def fit(self, histories: Sequence[InlineHistory]) -> Sequence[Fitted]:
        """What comes back has been through a pickle, as over a hop."""
        self.fitted.extend(histories)
        found: Sequence[Fitted] = pickle.loads(
            pickle.dumps(await asyncio.to_thread(self._forecaster.fit, histories), pickle.HIGHEST_PROTOCOL)
        )
        return found

    async def answer(self, requests: Sequence[ForecastRequest]) -> Sequence[Outcome]:
        """An outcome each."""
        self.asked.extend(requests)
        return await asyncio.to_thread(self._forecaster.answer, requests)
