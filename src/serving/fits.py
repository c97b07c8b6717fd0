"""Models of histories that come with the request: kept by content, else asked of the runners, for all callers once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from cachetools import TTLCache

from forecasting.columns import read_dates
from forecasting.intervals import Mode
from forecasting.state import ForecastModel
from serving.histories import InlineHistory
from serving.model import ServingModel
from serving.outcomes import Refusal
from serving.predictors import ArrayPredictor, Rows
from serving.runner_queue import RunnerQueue
from serving.schemas import ModelInfo, Point
from serving.settings import Settings

Fitted = ForecastModel | Refusal
Found = Literal["kept", "joined", "fitted"]  # how a model was come by


@dataclass(eq=False)
class _Flight:
    """A fit under way, and how many wait for it."""

    fitted: asyncio.Future[Fitted]
    waiting: int = 0


class Fits:
    """The fits of one HTTP worker. count: is told how each model was come by."""

    def __init__(
        self,
        queue: RunnerQueue[InlineHistory, Fitted],
        settings: Settings,
        count: Callable[[Found], None] = lambda _: None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue, self._count = queue, count
        self._kept: TTLCache[bytes, Fitted] = TTLCache(settings.fits_cached, settings.fits_ttl_seconds, timer)
        self._flights: dict[bytes, _Flight] = {}

    async def fitted(self, data: Sequence[Point]) -> Fitted:
        """The model of a history, or a refusal that names each faulty row. Raises Refused where no runner is free."""
        history = InlineHistory.of(data)
        key = history.digest
        kept = self._kept.get(key)
        if kept is not None:
            self._count("kept")
            return kept
        flight = self._flights.get(key)
        self._count("fitted" if flight is None else "joined")
        flight = flight or self._start(key, history)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.fitted)
        finally:
            flight.waiting -= 1
            if not flight.waiting:  # nobody is left: what still waits for a runner makes room
                flight.fitted.cancel()

    def _start(self, key: bytes, history: InlineHistory) -> _Flight:
        flight = self._flights[key] = _Flight(self._queue.submit(history))
        flight.fitted.add_done_callback(lambda fitted: self._land(key, fitted))
        return flight

    def _land(self, key: bytes, fitted: asyncio.Future[Fitted]) -> None:
        del self._flights[key]
        if not fitted.cancelled() and fitted.exception() is None:
            self._kept[key] = fitted.result()


def inline_model(fitted: ForecastModel, data: Sequence[Point], mode: Mode) -> ServingModel:
    """The model of a request's own history, ready to forecast; the rows of the history are read where asked for."""
    predictor = ArrayPredictor(
        fitted, lambda: Rows(read_dates(pd.Series([point.ds for point in data])).values.as_unit("ns").asi8), mode
    )
    info = ModelInfo(
        name=None,
        version=None,
        run_id=None,
        trained_through=predictor.trained_through.isoformat(),
        solver=fitted.solver,
    )
    return ServingModel(predictor, info)
