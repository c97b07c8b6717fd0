"""Forecasts of champions in batches that nobody waits for: what has queued in one turn of the event loop.

Under load a batch is what arrived while the last one was computed. A request that comes alone is a batch of one, and
is computed on the spot.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from forecasting.calendar import is_subdaily
from forecasting.forecast import prepare
from forecasting.future import dates_after
from serving.champions import Champions
from serving.model import date_texts, not_finite, now, unusable_dates
from serving.outcomes import INTERNAL_ERROR, Answer, Outcome
from serving.schemas import ForecastRequest

log = logging.getLogger("serving.batcher")

MOST_AT_ONCE = 256
_WIDTHS = 8  # whose tables forecasting keeps, at least
_DATES_KEPT = 200_000  # with their texts, some 20 MB

Integers = npt.NDArray[np.int64]
Dates = tuple[Integers, list[str]]


class Item(NamedTuple):
    """One request in the queue. width: of its interval; waiter: gets its outcome."""

    champions: Champions
    row: int
    request: ForecastRequest
    width: float
    waiter: asyncio.Future[Outcome]


class Batcher:
    """Computes what has queued, `MOST_AT_ONCE` at a time, so that the loop serves others between two batches.

    The first request after a turn in which nobody else came does not queue: the way through the loop and back would
    cost it as much as the forecast. Whoever comes in the same turn after it does.
    count: is told the size of every batch. Only the loop's own thread may use it.
    """

    def __init__(self, count: Callable[[int], None] = lambda _: None) -> None:
        self._count = count
        self._queue: deque[Item] = deque()
        self._scheduled = False
        self._served = 0  # how many requests of this turn were computed already
        self._alone = True  # whether one request at most came in the last turn with any
        self._widths: LRUCache[float, bool] = LRUCache(_WIDTHS)
        self._waiting: dict[float, list[Item]] = {}
        self._solving: set[asyncio.Task[None]] = set()
        self._dates: LRUCache[tuple[int, int, str], Dates] = LRUCache(
            _DATES_KEPT, getsizeof=lambda dates: len(dates[1])
        )
        self._calm = _calm()

    def submit(self, champions: Champions, row: int, request: ForecastRequest) -> asyncio.Future[Outcome]:
        """Queue a request for a row that `Champions.row_for` gave; the future never has an error."""
        width = float(champions.widths[row]) if request.interval_width is None else request.interval_width
        item = Item(champions, row, request, width, asyncio.get_running_loop().create_future())
        if width in self._widths:
            self._take(item)
        elif width in self._waiting:
            self._waiting[width].append(item)
        else:
            self._waiting[width] = [item]
            task = asyncio.create_task(self._solve(width))
            self._solving.add(task)
            task.add_done_callback(self._solving.discard)
        return item.waiter

    async def _solve(self, width: float) -> None:
        """Solve the tables of a width that was not asked for lately; too long a pause for those who wait meanwhile."""
        try:
            await asyncio.to_thread(prepare, width)
            self._widths[width] = True
        finally:
            for item in self._waiting.pop(width):
                self._take(item)

    def _take(self, item: Item) -> None:
        first = not self._scheduled
        if first:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._drain, context=self._calm)
        if first and self._alone:
            self._calm.run(self._compute, [item])
        else:
            self._queue.append(item)

    def _drain(self) -> None:
        items = [self._queue.popleft() for _ in range(min(len(self._queue), MOST_AT_ONCE))]
        self._scheduled = bool(self._queue)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._drain, context=self._calm)
        if items:
            self._compute(items)
        self._alone, self._served = self._served <= 1, 0

    def _compute(self, items: Sequence[Item]) -> None:
        self._served += len(items)
        for item, outcome in zip(items, self._outcomes(items), strict=True):
            if not item.waiter.done():  # its caller may have gone
                item.waiter.set_result(outcome)
        self._count(len(items))

    def _outcomes(self, items: Sequence[Item]) -> list[Outcome]:
        if len(items) == 1:  # with nothing to sort
            try:
                return _computed(items, [self._dates_of(items[0])], now())
            except ValueError as error:
                return [unusable_dates("periods", error)]
        outcomes: list[Outcome] = [INTERNAL_ERROR] * len(items)
        alike: dict[tuple[Champions, int, int, float], list[tuple[int, Item, Dates]]] = {}
        for place, item in enumerate(items):
            try:
                dates = self._dates_of(item)
            except ValueError as error:
                outcomes[place] = unusable_dates("periods", error)
            else:
                key = item.champions, int(item.champions.kinds[item.row]), item.request.periods, item.width
                alike.setdefault(key, []).append((place, item, dates))
        time = now()
        for group in alike.values():
            places, own, dates_of = zip(*group, strict=True)
            for place, outcome in zip(places, _computed(own, dates_of, time), strict=True):
                outcomes[place] = outcome
        return outcomes

    def _dates_of(self, item: Item) -> Dates:
        """The dates that a request asks for, and their texts: champions of one job share them. Raises ValueError."""
        end, freq = int(item.champions.ends[item.row]), item.champions.freq(item.row)
        key = end, item.request.periods, freq
        found = self._dates.get(key)
        if found is None:
            ds = dates_after(end, item.request.periods, freq)
            found = ds, date_texts(ds, subdaily=is_subdaily(freq))
            if len(ds) <= _DATES_KEPT:
                self._dates[key] = found
        return found


def _computed(alike: Sequence[Item], dates: Sequence[Dates], time: str) -> list[Outcome]:
    """The outcomes of requests for as many dates each, of champions of one kind, at one width."""
    try:
        return _answers(alike, dates, time)
    except Exception:  # a batch has strangers in it: one bug must not cost them their answers
        log.exception("a batch failed; each of its requests is tried alone" if len(alike) > 1 else "a request failed")
        if len(alike) == 1:
            return [INTERNAL_ERROR]
        return [outcome for own in zip(alike, dates, strict=True) for outcome in _computed([own[0]], [own[1]], time)]


def _answers(alike: Sequence[Item], dates: Sequence[Dates], time: str) -> list[Outcome]:
    first = alike[0]
    snapshot = first.champions.snapshot
    found = first.champions.plain.forecast([item.row for item in alike], [ds for ds, _ in dates], first.width)
    columns = (numbers.tolist() for numbers in found)
    return [
        Answer(item.request.model_id, time, snapshot.info_json(item.row), texts, yhat, lower, upper, item.width)
        if isfinite(sum(upper) - sum(lower))  # which it is not where a bound is not, or is close to it
        else not_finite("model_unavailable")
        for item, (_, texts), yhat, lower, upper in zip(alike, dates, *columns, strict=True)
    ]


def _calm() -> contextvars.Context:
    """A context in which numpy says nothing of numbers that are not finite: such forecasts are refused."""
    context = contextvars.Context()
    context.run(np.seterr, over="ignore", invalid="ignore")
    return context
