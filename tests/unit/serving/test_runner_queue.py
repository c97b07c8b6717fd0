"""What waits for the runners: who goes with whom, who is turned away, and who is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar

import pytest

from serving.outcomes import Refused
from serving.runner_queue import RunnerQueue


class Tally:
    """The gauges, as they stand."""

    def __init__(self) -> None:
        self.waiting = self.working = 0
        self.calls: list[int] = []

    def wait(self, change: int) -> None:
        self.waiting += change

    def work(self, change: int) -> None:
        self.working += change

    def sent(self, tasks: int) -> None:
        self.calls.append(tasks)


class Runners:
    """Doubles numbers when it is let go; a 13 brings every call down that it is in."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.go = asyncio.Event()

    async def send(self, tasks: Sequence[int]) -> Sequence[int]:
        self.calls.append(list(tasks))
        await self.go.wait()
        if 13 in tasks:
            raise Refused("overloaded", "no runner answers this request")
        return [2 * task for task in tasks]


def _queue(
    send: Callable[[Sequence[int]], Awaitable[Sequence[int]]], *, calls: int = 2, batch: int = 8, most: int = 100
) -> tuple[RunnerQueue[int, int], Tally]:
    tally = Tally()
    return RunnerQueue(send, calls=calls, batch=batch, most=most, watch=tally), tally


async def _turns() -> None:
    """Enough for everything that waits for nothing but its turn."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_lone_task_waits_for_nobody() -> None:
    """It is sent without a timer, and the gauges are back at 0 when it is done."""

    async def scene() -> None:
        runners = Runners()
        queue, tally = _queue(runners.send)
        result = queue.submit(1)
        await _turns()
        assert runners.calls == [[1]]
        assert (tally.waiting, tally.working, tally.calls) == (0, 1, [1])
        runners.go.set()
        assert await result == 2
        await _turns()
        assert (tally.waiting, tally.working) == (0, 0)

    asyncio.run(scene())


def test_a_call_belongs_to_the_request_that_it_is_made_for() -> None:
    """Also where that has waited for another's to end: its trace and its request id are its own."""
    request_id: ContextVar[int] = ContextVar("request_id")
    seen: list[tuple[int, int]] = []

    async def send(tasks: Sequence[int]) -> Sequence[int]:
        seen.append((tasks[0], request_id.get()))
        await asyncio.sleep(0)
        return tasks

    async def scene() -> None:
        queue, _ = _queue(send, calls=1, batch=1)

        async def request(number: int) -> int:
            request_id.set(number)
            return await queue.submit(number)

        await asyncio.gather(*map(request, range(4)))

    asyncio.run(scene())
    assert seen == [(number, number) for number in range(4)]


def test_what_comes_together_is_shared_out_and_what_comes_later_goes_together() -> None:
    """Fair shares of the free calls, then up to a batch at a time; every task gets its own result."""

    async def scene() -> None:
        runners = Runners()
        queue, tally = _queue(runners.send, batch=4)
        first = [queue.submit(number) for number in range(5)]
        await _turns()
        assert runners.calls == [[0, 1, 2], [3, 4]]
        later = [queue.submit(number) for number in range(100, 110)]
        await _turns()
        assert (len(runners.calls), tally.waiting) == (2, 10)
        runners.go.set()
        assert await asyncio.gather(*first, *later) == [2 * n for n in (*range(5), *range(100, 110))]
        assert max(tally.calls) == 4
        assert sum(tally.calls) == 15

    asyncio.run(scene())


def test_beyond_the_most_that_may_wait_callers_are_told_when_to_come_again() -> None:
    """At once; the time is what all that is before them takes at the pace of late."""

    async def scene() -> None:
        runners, now = Runners(), 0.0
        asyncio.get_running_loop().time = lambda: now  # type: ignore[method-assign]
        queue, tally = _queue(runners.send, calls=1, batch=2, most=3)
        slow = queue.submit(0)
        await _turns()
        now = 4.0
        runners.go.set()
        assert await slow == 0
        await _turns()
        runners.go.clear()
        sent = [queue.submit(number) for number in (1, 2)]
        await _turns()
        waiting = [queue.submit(number) for number in (3, 4, 5)]
        with pytest.raises(Refused) as caught:
            queue.submit(6)
        assert caught.value.refusal.code == "overloaded"
        assert caught.value.refusal.retry_after == pytest.approx(5 * 4.0)
        assert tally.waiting == 3
        runners.go.set()
        assert await asyncio.gather(*sent, *waiting) == [2, 4, 6, 8, 10]
        assert await queue.submit(6) == 12

    asyncio.run(scene())


def test_a_queue_that_has_seen_nothing_yet_asks_for_a_second() -> None:
    """There is no pace to go by."""

    async def scene() -> None:
        queue, _ = _queue(Runners().send, calls=1, batch=1, most=0)
        with pytest.raises(Refused) as caught:
            queue.submit(1)
        assert caught.value.refusal.retry_after == 1.0

    asyncio.run(scene())


def test_who_has_given_up_makes_room_and_costs_no_runner_anything() -> None:
    """Waiting tasks whose callers are gone are neither counted nor sent."""

    async def scene() -> None:
        runners = Runners()
        queue, tally = _queue(runners.send, calls=1, batch=1, most=2)
        busy = queue.submit(0)
        await _turns()
        gone, stays = queue.submit(1), queue.submit(2)
        gone.cancel()
        late = queue.submit(3)
        runners.go.set()
        assert await asyncio.gather(busy, stays, late) == [0, 4, 6]
        assert runners.calls == [[0], [2], [3]]
        assert tally.waiting == 0

    asyncio.run(scene())


def test_one_that_brings_a_call_down_costs_its_neighbours_nothing() -> None:
    """Each is sent once more, alone; the one that fails again is told so."""

    async def scene() -> None:
        runners = Runners()
        runners.go.set()
        queue, tally = _queue(runners.send, calls=1)
        results = await asyncio.gather(*map(queue.submit, (1, 13, 2)), return_exceptions=True)
        assert (results[0], results[2]) == (2, 4)
        assert isinstance(results[1], Refused)
        assert results[1].refusal.code == "overloaded"
        assert runners.calls == [[1, 13, 2], [1], [13], [2]]
        assert await queue.submit(5) == 10
        await _turns()
        assert tally.working == 0

    asyncio.run(scene())


@pytest.mark.parametrize("results", [[], [1, 2]])
def test_what_nobody_planned_for_is_an_internal_error(results: list[int], caplog: pytest.LogCaptureFixture) -> None:
    """A runner that answers something else than it was asked; the queue goes on."""

    async def scene() -> None:
        async def send(_: Sequence[int]) -> Sequence[int]:
            return results

        queue, _ = _queue(send, calls=1)
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                await queue.submit(1)
            assert caught.value.refusal.code == "internal_error"

    asyncio.run(scene())
    assert f"{len(results)} results for 1 tasks" in caplog.text
