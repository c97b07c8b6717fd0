"""Put what was served into the forecast log, off the path of the requests: a bounded queue, and a thread that writes.

Handing a forecast over is an append. All the rest, which is some 20 microseconds of this process, happens in the
thread, a few forecasts at a time, so that no request waits for more than those.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from cachetools import TTLCache

from registry.errors import BadRecord, RegistryError
from registry.forecast_log import ForecastLog, ForecastRecord, Serving
from serving.access import Caller
from serving.logs import current_request_id
from serving.metrics import Metrics
from serving.outcomes import Answer, Outcome
from serving.schemas import ForecastRequest

log = logging.getLogger("serving.forecast_log")

_PAUSE_SECONDS = 1.0  # between two looks at a queue that was empty, and the first wait after a failure
_LONGEST_WAIT = 30.0
_MOST_AT_ONCE = 500  # servings in one transaction
_TURN, _TURN_SECONDS = 16, 0.0001  # so many forecasts, then requests may go first for so long
_KNOWN = 100_000  # forecasts that need not be written again, for an hour: somebody may have deleted them
_KNOWN_SECONDS = 3600.0
_BEHIND = 0.5  # share of the queue from which on it is a problem


class Sink(Protocol):
    """Where it goes; `registry.forecast_log.ForecastLog` is one."""

    @property
    def place(self) -> str: ...
    def write(self, servings: Sequence[Serving], forecasts: Sequence[ForecastRecord]) -> None: ...
    def close(self) -> None: ...


class _Handed(NamedTuple):
    request_id: str | None
    caller: str
    asked: ForecastRequest
    answer: Answer


class LogWriter:
    """Writes to one log in a thread that `start` begins.

    most_rows: forecast rows (dates) that wait at most while the database is away; the oldest are dropped first, and
    counted. `record` is for the event loop alone.
    """

    def __init__(self, sink: Sink, metrics: Metrics, most_rows: int) -> None:
        self._sink = sink
        self._metrics = metrics
        self._most_rows = most_rows
        self._queue: deque[_Handed] = deque()
        self._handed_rows = 0  # by the loop, those that it dropped taken off
        self._taken_rows = 0  # by the thread
        self._in_hand: list[_Handed] = []
        self._known: TTLCache[UUID, bool] = TTLCache(_KNOWN, _KNOWN_SECONDS)
        self._fault: str | None = None
        self._dropped = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="forecast-log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def record(self, asked: Sequence[ForecastRequest], outcomes: Sequence[Outcome], caller: Caller) -> None:
        """Take note of what the present request is answered with; refusals are no forecasts."""
        request_id = current_request_id()
        for one, outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, Answer):
                self._handed_rows += len(outcome.ds)
                self._queue.append(_Handed(request_id, caller.name, one, outcome))
        if self._waiting_rows > self._most_rows:
            self._drop()

    def close(self, seconds: float) -> None:
        """Write what waits, and stop; give up after so many seconds."""
        self._stop.set()
        self._thread.join(seconds)
        if left := len(self._queue) + len(self._in_hand):
            log.error("%d forecasts are not in the forecast log: it could not be written before the end", left)

    def problems(self) -> Iterator[str]:
        """What is wrong, in words for anybody: the reason is in the service's log."""
        if self._fault is not None:
            lost = " and the oldest are dropped" if self._dropped else ""
            yield f"the forecast log cannot be written: served forecasts wait in memory{lost}"
        elif self._waiting_rows > _BEHIND * self._most_rows:
            yield "the forecast log falls behind: its database takes less than is served"

    @property
    def _waiting_rows(self) -> int:
        return self._handed_rows - self._taken_rows

    def _drop(self) -> None:
        """Make room. The thread may take the same ones at the same time: who pops one has it."""
        dropped = 0
        while self._waiting_rows > self._most_rows:
            try:
                self._handed_rows -= len(self._queue.popleft().answer.ds)
            except IndexError:
                break
            dropped += 1
        self._dropped = self._dropped or dropped > 0
        self._metrics.count_unlogged(dropped)

    def _run(self) -> None:
        wait = _PAUSE_SECONDS
        while True:
            stopping = self._stop.is_set()
            if self._write_all():
                wait = _PAUSE_SECONDS
                if stopping:
                    self._sink.close()
                    return
            else:
                wait = min(2 * wait, _LONGEST_WAIT)
                if stopping:
                    time.sleep(_PAUSE_SECONDS / 10)  # the last tries, until close gives up
            self._metrics.level_log(len(self._queue) + len(self._in_hand))
            self._stop.wait(wait)

    def _write_all(self) -> bool:
        """Write until nothing waits; False where the database does not take it."""
        while True:
            if not self._in_hand:
                self._in_hand = self._take()
            if not self._in_hand:
                return True
            if not self._write(self._in_hand):
                return False
            self._in_hand = []

    def _take(self) -> list[_Handed]:
        taken: list[_Handed] = []
        while len(taken) < _MOST_AT_ONCE:
            try:
                one = self._queue.popleft()
            except IndexError:
                break
            self._taken_rows += len(one.answer.ds)
            taken.append(one)
        return taken

    def _write(self, handed: Sequence[_Handed]) -> bool:
        try:
            servings, forecasts = self._encoded(handed)
            self._sink.write(servings, list(forecasts.values()))
        except BadRecord as error:  # as it would be the next time
            log.error("%d forecasts are not in the forecast log: %s", len(handed), error)
            self._metrics.count_unlogged(len(handed))
            return True
        except RegistryError as error:
            self._tell(str(error))
            return False
        except Exception:
            log.exception("%d forecasts are not in the forecast log", len(handed))
            self._metrics.count_unlogged(len(handed))
            return True
        for forecast in forecasts:
            self._known[forecast] = True
        self._metrics.count_logged(len(handed))
        self._tell(None)
        return True

    def _encoded(self, handed: Sequence[_Handed]) -> tuple[list[Serving], dict[UUID, ForecastRecord]]:
        """The rows of what was handed over, and those of the forecasts that may be new."""
        servings, forecasts = list[Serving](), dict[UUID, ForecastRecord]()
        for number, (request_id, caller, asked, answer) in enumerate(handed):
            if number % _TURN == 0:
                time.sleep(_TURN_SECONDS)  # lets go of the interpreter, which would else be ours for 5 ms
            rows = slice(-asked.periods, None)  # not those of the history, where they were asked for, too
            digest = _digest(answer, rows)
            served_at = datetime.fromisoformat(answer.generated_at)
            servings.append(Serving(served_at, request_id, _storable(caller), digest))
            if digest not in forecasts and digest not in self._known:
                forecasts[digest] = _record(digest, answer, rows, served_at)
        return servings, forecasts

    def _tell(self, fault: str | None) -> None:
        if fault != self._fault and fault is not None:
            log.warning("%s; forecasts wait in memory", fault)
        elif fault is None and self._fault is not None:
            log.info("the forecast log is written again")
            self._dropped = False
        self._fault = fault


def open_writer(url: str, metrics: Metrics, most_rows: int) -> LogWriter:
    """The writer of the log at this URL, started."""
    writer = LogWriter(ForecastLog(url), metrics, most_rows)
    writer.start()
    return writer


def _digest(answer: Answer, rows: slice) -> UUID:
    """128 bits of all that a forecast is, in whichever worker it was made."""
    content = blake2b(answer.model, digest_size=16)
    ds = answer.ds[rows]
    told = (answer.model_id, ds[0], ds[-1], len(ds), answer.interval_width)
    content.update(repr(told).encode(errors="backslashreplace"))
    for values in (answer.yhat, answer.yhat_lower, answer.yhat_upper):
        content.update(array("d", values[rows]).tobytes())
    return UUID(bytes=content.digest())


def _record(digest: UUID, answer: Answer, rows: slice, served_at: datetime) -> ForecastRecord:
    model, ds = _model(answer.model), answer.ds[rows]
    return ForecastRecord(
        id=digest,
        segment=_storable(answer.model_id),
        model_name=model["name"],
        version=model["version"],
        run_id=model["run_id"],
        solver=model["solver"],
        trained_through=datetime.fromisoformat(model["trained_through"]),
        interval_width=answer.interval_width,
        last_ds=datetime.fromisoformat(ds[-1]),
        ds=list(ds),
        yhat=list(answer.yhat[rows]),
        yhat_lower=list(answer.yhat_lower[rows]),
        yhat_upper=list(answer.yhat_upper[rows]),
        first_served_at=served_at,
    )


@lru_cache(maxsize=1024)
def _model(text: bytes) -> dict[str, Any]:
    model: dict[str, Any] = json.loads(text)
    return model


def _storable(text: str) -> str:
    """As it is, but for what no database takes and an inline request's key may hold: NUL, half a character."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
