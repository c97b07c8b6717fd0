"""Callers that ask all the time and believe nothing: `python -m tests.e2e.load_client CASES.json PROGRESS.json`.

A process of its own, so that neither what a test does nor what it waits for holds up a request. It ends when it is
told to (SIGTERM), after the answers under way; PROGRESS.json always says how far it is. See tests/e2e/load.py.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp

PATIENCE = 60.0  # seconds for one answer
_TOLD_EVERY = 0.1  # seconds
_REMEMBERED = 64  # failures, word for word
_DAYS = [f"2024-01-{day:02d}" for day in range(1, 32)]  # of inline history
_LATER = ("overloaded", "timeout")  # what a history may be answered while its runner is away

Ask = tuple[str, Any, Callable[[Any], str | None]]  # a path, a body, and what is wrong with a good answer to it


class Callers:
    """What is asked, and what came of it."""

    def __init__(self, cases: dict[str, Any]) -> None:
        self._url: str = cases["url"]
        self._periods: int = cases["periods"]
        self._known: dict[str, dict[str, list[float]]] = cases["known"]  # yhat by segment and version
        self._pause: float = cases["pause"]
        self._numbers = itertools.count()
        self._exact: dict[tuple[str, str], Any] = {}  # a version's rows, as they first came
        self.stop = asyncio.Event()
        self.answers = Counter[str]()
        self.served = Counter[str]()
        self.dropped = self.refused = self.failed = self.gone = 0
        self.failures: list[str] = []
        self.slowest = 0.0

    async def call(self, asks: Iterator[Ask]) -> None:
        """Ask one thing after the other, over one connection that is kept."""
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(
            self._url, connector=aiohttp.TCPConnector(limit=1), timeout=timeout
        ) as session:
            for path, body, fault_of in asks:
                if self.stop.is_set():
                    return
                began = time.perf_counter()
                try:
                    await self._ask_twice(session, path, body, fault_of)
                except aiohttp.ClientConnectorError:
                    self.gone += 1  # nobody listens any more
                    return
                self.slowest = max(self.slowest, time.perf_counter() - began)
                await asyncio.sleep(self._pause)

    async def _ask_twice(
        self, session: aiohttp.ClientSession, path: str, body: Any, fault_of: Callable[[Any], str | None]
    ) -> None:
        """As any client for which asking again is safe: once more where the connection broke, and only there."""
        for again in (False, True):
            try:
                async with session.post(path, json=body) as answer:
                    text = await answer.text()
                    self._judge(path, answer, text, fault_of)
                return
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:  # before an answer, or in one
                if again:
                    self._fail(f"{path}: a second time {error!r}")
                self.dropped += 1
            except (TimeoutError, aiohttp.ClientError) as error:
                self._fail(f"{path}: {error!r}")
                return

    def _judge(self, path: str, answer: Any, text: str, fault_of: Callable[[Any], str | None]) -> None:
        if path == "/forecast?inline" and answer.status in (503, 504) and json.loads(text)["code"] in _LATER:
            self.refused += 1
            return
        fault = f"{answer.status} {text[:300]}" if answer.status != 200 else fault_of(json.loads(text))
        if fault is None:
            self.answers[path] += 1
        else:
            self._fail(f"{path}: {fault}")

    def _fail(self, what: str) -> None:
        self.failed += 1
        if len(self.failures) < _REMEMBERED:
            self.failures.append(what)

    def registered(self, first: int) -> Iterator[Ask]:
        """Each segment in turn."""
        segments = sorted(self._known)
        for segment in itertools.islice(itertools.cycle(segments), first, None):
            yield "/forecast", {"model_id": segment, "periods": self._periods}, self._fault_of_forecast(segment)

    def batches(self) -> Iterator[Ask]:
        """All segments at once."""
        segments = sorted(self._known)
        body = {"requests": [{"model_id": segment, "periods": self._periods} for segment in segments]}

        def fault_of(answer: Any) -> str | None:
            faults = (
                self._fault_of_forecast(segment)(result)
                for segment, result in zip(segments, answer["results"], strict=True)
            )
            return next((fault for fault in faults if fault is not None), None)

        while True:
            yield "/forecast/batch", body, fault_of

    def histories(self) -> Iterator[Ask]:
        """Histories that nobody has sent before."""

        def fault_of(answer: Any) -> str | None:
            rows = answer["forecast"]
            good = len(rows) == 3 and all(math.isfinite(row["yhat"]) for row in rows)
            return None if good else f"{rows}"

        for number in self._numbers:
            chance = random.Random(number)
            rows = [{"ds": day, "y": chance.gauss(100, 10)} for day in _DAYS]
            yield "/forecast?inline", {"model_id": "inline", "periods": 3, "data": rows}, fault_of

    def _fault_of_forecast(self, segment: str) -> Callable[[Any], str | None]:
        """Whether all rows are those of the version that the answer names, to the last bit."""

        def fault_of(answer: Any) -> str | None:
            if "forecast" not in answer:
                return json.dumps(answer)[:300]
            version, rows = str(answer["model"]["version"]), answer["forecast"]
            known = self._known[segment].get(version)
            if known is None:
                return f"{segment} version {version}, which was never good"
            if not _alike([row["yhat"] for row in rows], known):
                return f"{segment} version {version} has another's yhat: {rows[:2]}"
            if self._exact.setdefault((segment, version), rows) != rows:
                return f"{segment} version {version} was not always the same: {rows[:2]}"
            self.served[f"{segment} {version}"] += 1
            return None

        return fault_of

    def report(self) -> dict[str, Any]:
        """Everything so far."""
        return {
            "answers": sum(self.answers.values()),
            "by_path": dict(self.answers),
            "served": dict(self.served),
            "dropped": self.dropped,
            "refused": self.refused,
            "gone": self.gone,
            "failed": self.failed,
            "failures": self.failures,
            "slowest": self.slowest,
        }


def _alike(found: list[float], known: list[float]) -> bool:
    return len(found) == len(known) and all(
        math.isclose(one, other, rel_tol=1e-9) for one, other in zip(found, known, strict=True)
    )


async def _tell(callers: Callers, path: Path) -> None:
    while True:
        _write(callers, path)
        await asyncio.sleep(_TOLD_EVERY)


def _write(callers: Callers, path: Path) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(callers.report()))
    aside.replace(path)


async def _main(cases: dict[str, Any], progress: Path) -> None:
    callers = Callers(cases)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, callers.stop.set)
    inline: int = cases["inline"]
    asks = [callers.histories() for _ in range(inline)] + [callers.batches() for _ in range(2)]
    asks += [callers.registered(number) for number in range(cases["connections"] - len(asks))]
    telling = asyncio.create_task(_tell(callers, progress))
    calls: list[Awaitable[None]] = [callers.call(each) for each in asks]
    await asyncio.gather(*calls)
    telling.cancel()
    _write(callers, progress)


if __name__ == "__main__":
    os.nice(1)  # what is measured comes first
    asyncio.run(_main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])))
