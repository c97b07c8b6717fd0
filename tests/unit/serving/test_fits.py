"""Fits of inline histories: one for all who ask for the same, kept for a while."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.fits import Fits, Fitted
from serving.histories import InlineHistory
from serving.outcomes import Refusal, Refused
from serving.runner_queue import RunnerQueue
from serving.schemas import Point
from serving.settings import Settings
from tests.unit.serving.test_runner_queue import Tally


class Clock:
    """A time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """Fits whose runner refuses every history, with its values as the reason, when it is let go."""

    def __init__(self, *, calls: int = 1, most: int = 100, **settings: float) -> None:
        self.sent: list[InlineHistory] = []
        self.go = asyncio.Event()
        self.go.set()
        self.clock = Clock()
        self.found: Counter[str] = Counter()
        queue = RunnerQueue(self._fit, calls=calls, batch=1, most=most, watch=Tally())
        self.fits = Fits(queue, Settings(**settings), lambda found: self.found.update([found]), timer=self.clock)

    async def _fit(self, histories: Sequence[InlineHistory]) -> Sequence[Fitted]:
        self.sent += histories
        await self.go.wait()
        return [Refusal("unfittable_history", str(history.y)) for history in histories]

    async def ask(self, *y: float) -> str:
        fitted = await self.fits.fitted(_points(*y))
        assert isinstance(fitted, Refusal)
        return fitted.detail


def _points(*y: float) -> list[Point]:
    return [Point(ds=f"2024-01-{day:02}", y=value) for day, value in enumerate(y, 1)]


def test_a_history_is_fitted_once_for_all_who_ask_and_then_kept() -> None:
    """Those who ask meanwhile wait for the same fit; other histories have their own."""

    async def play() -> None:
        scene = Scene()
        answers = await asyncio.gather(*(scene.ask(1.0, 2.0) for _ in range(5)), scene.ask(1.0, 3.0))
        assert answers == ["[1.0, 2.0]"] * 5 + ["[1.0, 3.0]"]
        assert await scene.ask(1.0, 2.0) == "[1.0, 2.0]"
        assert len(scene.sent) == 2
        assert scene.found == {"fitted": 2, "joined": 4, "kept": 1}

    asyncio.run(play())


def test_a_fit_is_kept_for_its_time_and_as_long_as_there_is_room() -> None:
    """The least recently used goes first."""

    async def play() -> None:
        scene = Scene(fits_cached=2, fits_ttl_seconds=60)
        for value in (1.0, 2.0, 1.0, 3.0, 1.0, 2.0):
            await scene.ask(value)
        assert [history.y for history in scene.sent] == [[1.0], [2.0], [3.0], [2.0]]
        scene.clock.now = 59.0
        await scene.ask(2.0)
        assert len(scene.sent) == 4
        scene.clock.now = 61.0
        await scene.ask(2.0)
        assert len(scene.sent) == 5

    asyncio.run(play())


def test_one_who_gives_up_takes_the_fit_from_nobody_else() -> None:
    """And where nobody is left, what waits in the queue is not fitted at all."""

    async def play() -> None:
        scene = Scene()
        scene.go.clear()
        busy = asyncio.create_task(scene.ask(0.0))
        both = [asyncio.create_task(scene.ask(1.0)) for _ in range(2)]
        alone = asyncio.create_task(scene.ask(2.0))
        for _ in range(5):
            await asyncio.sleep(0)
        both[0].cancel(), alone.cancel()
        await asyncio.gather(both[0], alone, return_exceptions=True)
        scene.go.set()
        assert await asyncio.gather(busy, both[1]) == ["[0.0]", "[1.0]"]
        assert [history.y for history in scene.sent] == [[0.0], [1.0]]
        assert await scene.ask(2.0) == "[2.0]"

    asyncio.run(play())


def test_a_full_queue_is_no_fit_and_is_not_kept() -> None:
    """Whoever comes again when there is room gets his fit."""

    async def play() -> None:
        scene = Scene(most=1)
        scene.go.clear()
        waiting = []
        for value in (1.0, 2.0):
            waiting.append(asyncio.create_task(scene.ask(value)))
            for _ in range(5):
                await asyncio.sleep(0)
        with pytest.raises(Refused):
            await scene.ask(3.0)
        scene.go.set()
        await asyncio.gather(*waiting)
        assert await scene.ask(3.0) == "[3.0]"

    asyncio.run(play())


_TEXTS = st.lists(st.text("01-T", min_size=0, max_size=4), max_size=3)
_HISTORIES = _TEXTS.flatmap(
    lambda ds: st.builds(
        InlineHistory, st.just(ds), st.lists(st.sampled_from([0.0, 1.0, 1e300]), min_size=len(ds), max_size=len(ds))
    )
)


@given(_HISTORIES, _HISTORIES)
def test_two_histories_have_one_digest_only_if_they_are_the_same(one: InlineHistory, other: InlineHistory) -> None:
    """Wherever the texts begin and end."""
    assert (one.digest == other.digest) == (one == other)
