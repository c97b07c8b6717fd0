"""What waits for the runners, of one kind of work: batches of what has queued while they were busy, and an end to it.

Nobody waits for company: a task that comes while a call is free leaves in the same turn of the event loop. Beyond the
most that may wait, callers are told at once when to come again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from typing import Generic, NamedTuple, Protocol, TypeVar

from serving.outcomes import INTERNAL_ERROR, Refused

log = logging.getLogger("serving.runner_queue")
Task = TypeVar("Task")
Result = TypeVar("Result")

_MEMORY = 0.9  # how much of the pace before counts beside that of the newest call
_SOONEST = 1.0  # seconds after which callers may come again, at least


class Watch(Protocol):
    """Is told of every change."""

    def wait(self, change: int) -> None:
        """So many more tasks wait, or fewer."""

    def work(self, change: int) -> None:
        """So many more tasks are with a runner, or fewer."""

    def sent(self, tasks: int) -> None:
        """A call with so many tasks has been made."""


class _Entry(NamedTuple, Generic[Task, Result]):
    task: Task
    waiter: asyncio.Future[Result]
    context: Context  # its request's, which has the trace that a call for it belongs to


class RunnerQueue(Generic[Task, Result]):
    """Makes `calls` calls at once with up to `batch` tasks each, and lets `most` more tasks wait.

    send: has a runner do some tasks, and gives as many results, in order; raises Refused where no runner does. Tasks
    of a call that fails are sent once more, each alone: one that brings runners down costs its neighbours nothing.
    Only the loop's own thread may use it.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Task]], Awaitable[Sequence[Result]]],
        *,
        calls: int,
        batch: int,
        most: int,
        watch: Watch,
    ) -> None:
        self._send, self._watch = send, watch
        self._free, self._batch, self._most = calls, batch, most
        self._calls = calls
        self._queue: deque[_Entry[Task, Result]] = deque()
        self._scheduled = False
        self._sent = 0  # tasks that are with a runner
        self._pace = 0.0  # seconds that a task has taken of late, with all calls at work
        self._running: set[asyncio.Task[None]] = set()

    def submit(self, task: Task) -> asyncio.Future[Result]:
        """Queue a task; cancelling the future takes it out again. The future's error is Refused. Raises Refused."""
        self._drop_the_abandoned()
        if len(self._queue) >= self._most:
            raise Refused("overloaded", "too many requests wait for a runner already", retry_after=self.seconds_ahead)
        entry: _Entry[Task, Result] = _Entry(task, asyncio.get_running_loop().create_future(), copy_context())
        self._queue.append(entry)
        self._watch.wait(1)
        self._schedule()
        return entry.waiter

    @property
    def seconds_ahead(self) -> float:
        """How long what waits and what is with the runners will take them, at their pace of late."""
        return max(_SOONEST, (len(self._queue) + self._sent) * self._pace)

    def _drop_the_abandoned(self) -> None:
        """Who came first gives up first: his place is another's."""
        while self._queue and self._queue[0].waiter.done():
            self._queue.popleft()
            self._watch.wait(-1)

    def _schedule(self) -> None:
        """Look at the queue when this turn of the loop is over, so that what comes in one turn goes together."""
        if not self._scheduled and self._free:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        self._scheduled = False
        while self._free and (entries := self._next()):
            self._free -= 1
            running = asyncio.create_task(self._call(entries), context=entries[0].context)
            self._running.add(running)
            running.add_done_callback(self._ended)

    def _next(self) -> list[_Entry[Task, Result]]:
        """The tasks of the next call: a fair share of what waits, so that no runner idles while another has it all."""
        share = min(self._batch, -(-len(self._queue) // max(self._free, 1)))
        entries: list[_Entry[Task, Result]] = []
        while self._queue and len(entries) < share:
            entry = self._queue.popleft()
            self._watch.wait(-1)
            if not entry.waiter.done():
                entries.append(entry)
        return entries

    def _ended(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        self._free += 1
        self._schedule()

    async def _call(self, entries: Sequence[_Entry[Task, Result]]) -> None:
        self._sent += len(entries)
        self._watch.work(len(entries))
        self._watch.sent(len(entries))
        try:
            await self._try(entries)
        finally:
            self._sent -= len(entries)
            self._watch.work(-len(entries))

    async def _try(self, entries: Sequence[_Entry[Task, Result]]) -> None:
        started = asyncio.get_running_loop().time()
        try:
            results = await self._send([entry.task for entry in entries])
            if len(results) != len(entries):
                raise RuntimeError(f"a runner gave {len(results)} results for {len(entries)} tasks")
        except Exception as error:
            if not isinstance(error, Refused):
                log.exception("a call to a runner failed for a reason that nobody planned for")
                error = Refused.of(INTERNAL_ERROR)
            await self._isolate(entries, error)
            return
        self._remember((asyncio.get_running_loop().time() - started) / len(entries) / self._calls)
        for entry, result in zip(entries, results, strict=True):
            if not entry.waiter.done():  # its caller may have gone
                entry.waiter.set_result(result)

    async def _isolate(self, entries: Sequence[_Entry[Task, Result]], error: Refused) -> None:
        for entry in entries:
            if entry.waiter.done():
                continue
            if len(entries) > 1:
                await self._try([entry])
            else:
                entry.waiter.set_exception(error)

    def _remember(self, pace: float) -> None:
        self._pace = _MEMORY * self._pace + (1.0 - _MEMORY) * pace if self._pace else pace
