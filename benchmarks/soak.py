"""The service under a steady load of everything at once: whether its memory and its /metrics stay as they are.

`python -m benchmarks.soak [--quick] [--minutes N]`. First the most that it answers of this mix, then 80 % of that, for
ten minutes. The first fifth warms up; what counts is what comes after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import psutil

from benchmarks.catalog_store import fill, segment
from benchmarks.frame import Row, busy_percent, compare, options, report, table
from benchmarks.servers import serving
from registry.registry import Registry

SERVE = [sys.executable, "-m", "bentoml", "serve", "service:ForecastService", "--host", "127.0.0.1", "--port", "{port}"]
MINUTES, QUICK_MINUTES = 10.0, 0.5
SEGMENTS, QUICK_SEGMENTS = 20_000, 500
CONNECTIONS = 32
SHARE = 0.8  # of what the service can do
WARM_UP = 0.2  # of the time
GROWTH = 1.05  # the bar
_EVERY_SECONDS = 5.0
_MB = 2**20


@dataclass(frozen=True)
class Kind:
    """One kind of request: how many of a thousand, what is sent, which status it must have."""

    name: str
    weight: int
    make: Callable[[random.Random, int], tuple[str, str, Any]]  # method, path, body
    status: int = 200


@dataclass
class Sample:
    """What was seen at one moment."""

    at: float
    memory: dict[str, float]  # MB of each kind of process, shared pages counted once (PSS)
    metrics_bytes: int
    metrics_series: int

    @property
    def total(self) -> float:
        return sum(self.memory.values())


@dataclass
class Load:
    """A run of the mix: what was answered, and what was not as it must be."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return sum(self.answers.values()) / self.seconds


def kinds(segments: int) -> list[Kind]:
    """The mix. No unknown segment is asked for twice, and no history comes twice."""

    def some(dice: random.Random) -> str:
        return segment(dice.randrange(segments))

    def history(dice: random.Random) -> list[dict[str, Any]]:
        return [{"ds": f"2024-{1 + day // 28:02}-{1 + day % 28:02}", "y": dice.gauss(100, 9)} for day in range(84)]

    return [
        Kind("forecast", 850, lambda dice, _: ("POST", "/forecast", {"model_id": some(dice), "periods": 30})),
        Kind("unknown segment", 60, lambda *_: ("POST", "/forecast", {"model_id": f"no-{uuid.uuid4()}"}), 404),
        Kind("unknown model", 10, lambda *_: ("GET", f"/models/no-{uuid.uuid4()}", None), 404),
        Kind("unknown path", 10, lambda *_: ("GET", f"/{uuid.uuid4()}", None), 404),
        Kind("malformed", 10, lambda *_: ("POST", "/forecast", {"periods": str(uuid.uuid4())}), 400),
        Kind(
            "batch of 20",
            20,
            lambda dice, _: ("POST", "/forecast/batch", {"requests": [{"model_id": some(dice)} for _ in range(20)]}),
        ),
        Kind("inline history", 5, lambda dice, _: ("POST", "/forecast", {"data": history(dice), "periods": 7})),
        Kind("page of models", 10, lambda *_: ("GET", "/models?limit=50", None)),
        Kind("one model", 10, lambda dice, _: ("GET", f"/models/{some(dice)}", None)),
        Kind("health", 10, lambda *_: ("GET", "/health", None)),
        Kind("metrics", 5, lambda *_: ("GET", "/metrics", None)),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Fill a registry, serve it, and soak."""
    given = options("A soak of the service.", arguments, minutes=float)
    minutes = given.minutes or (QUICK_MINUTES if given.quick else MINUTES)
    count = QUICK_SEGMENTS if given.quick else SEGMENTS
    print(f"others use {busy_percent():.0f} % of the processors")
    with tempfile.TemporaryDirectory(prefix="prophet-serving-") as scratch:
        folder = Path(scratch)
        registry = Registry(f"sqlite:///{folder}/mlflow.db")
        registry.ping()
        fill(registry, count, folder / "files")
        environment = {
            "MLFLOW_TRACKING_URI": registry.uri,
            "FORECAST_SNAPSHOT_DIR": str(folder / "snapshots"),
            "BENTOML_HOME": str(folder / "bentoml"),  # its metrics lie there, and another service's start empties it
        }
        with serving(SERVE, ready="/readyz", env=environment, patience=600.0, log_to=folder / "log") as url:
            rows = asyncio.run(_soak(url, kinds(count), count, 60 * minutes))
    return report("soak", rows, given)


async def _soak(url: str, mix: list[Kind], segments: int, seconds: float) -> list[Row]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector, timeout=aiohttp.ClientTimeout(60)) as session:
        await _wait_for_catalog(session, segments)
        most = await _load(session, mix, min(10.0, seconds / 3), None)
        rate = SHARE * most.per_second
        print(
            f"{most.per_second:,.0f} requests/s at most with {CONNECTIONS} connections; "
            f"now {rate:,.0f}/s for {seconds / 60:g} minutes"
        )
        samples: list[Sample] = []
        sampling = asyncio.create_task(_sample_on(session, samples))
        load = await _load(session, mix, seconds, rate)
        sampling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sampling
        samples.append(await _sample(session))
    print(f"\n{_answers_table(mix, load)}\n\n{_samples_table(samples)}")
    return rows_of(samples, load, rate)


def rows_of(samples: list[Sample], load: Load, rate: float) -> list[Row]:
    """Hold what was seen after the warm-up to what it was at its end; a tenth of the time, each."""
    first, last = samples[0].at, samples[-1].at
    warm = first + WARM_UP * (last - first)
    window = (last - first) / 10
    early = [sample for sample in samples if warm <= sample.at <= warm + window] or samples[:1]
    late = [sample for sample in samples if sample.at >= last - window]
    answered = sum(load.answers.values())
    good = 100 * (answered - sum(load.wrong.values())) / answered

    def before(name: str, unit: str, figure: Callable[[Sample], float], bar: float) -> Row:
        now, then = median(map(figure, late)), median(map(figure, early))
        return compare(name, unit, ours=now, peer="after the warm-up", theirs=then, better="less", bar=bar)

    return [
        before("memory of all processes", "MB", lambda sample: sample.total, round(1 / GROWTH, 4)),
        before("series in /metrics", "series", lambda sample: sample.metrics_series, 1.0),
        compare("answers as they must be", "%", ours=good, peer="all", theirs=100.0, better="more", bar=1.0),
        compare("requests", "1/s", ours=load.per_second, peer="meant", theirs=rate, better="more", bar=0.95),
    ]


async def _load(session: aiohttp.ClientSession, mix: list[Kind], seconds: float, rate: float | None) -> Load:
    """Send the mix for so long: at a steady rate, or, where none is given, as fast as it is answered."""
    load, dice, tickets = Load(), random.Random(5), itertools.count()
    weights = [kind.weight for kind in mix]
    began = time.perf_counter()

    async def keep_asking() -> None:
        for number in tickets:
            at = began + (number / rate if rate else 0.0)
            if max(at, time.perf_counter()) >= began + seconds:
                return
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            (kind,) = dice.choices(mix, weights)
            method, path, body = kind.make(dice, number)
            headers = {} if body is None else {"Content-Type": "application/json"}
            data = None if body is None else json.dumps(body)
            try:
                async with session.request(method, path, data=data, headers=headers) as answer:
                    await answer.read()
                    status: object = answer.status
            except (aiohttp.ClientError, TimeoutError) as error:
                status = type(error).__name__
            load.answers[kind.name] += 1
            if status != kind.status:
                load.wrong[f"{kind.name}: {status}"] += 1

    await asyncio.gather(*(keep_asking() for _ in range(CONNECTIONS)))
    load.seconds = time.perf_counter() - began
    return load


async def _wait_for_catalog(session: aiohttp.ClientSession, segments: int) -> None:
    while True:
        async with session.get("/health") as answer:
            catalog = (await answer.json())["catalog"]
        if catalog and catalog["segments"] == segments and not catalog["waiting"]:
            return
        await asyncio.sleep(0.2)


async def _sample_on(session: aiohttp.ClientSession, samples: list[Sample]) -> None:
    while True:
        samples.append(await _sample(session))
        await asyncio.sleep(_EVERY_SECONDS)


async def _sample(session: aiohttp.ClientSession) -> Sample:
    async with session.get("/metrics") as answer:
        text = await answer.text()
    memory = await asyncio.to_thread(_memory)
    series = sum(1 for line in text.splitlines() if not line.startswith("#"))
    return Sample(time.perf_counter(), memory, len(text), series)


def _memory() -> dict[str, float]:
    """MB of the processes below this one, by what they are."""
    found: Counter[str] = Counter()
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            command = " ".join(process.cmdline())
            name = "runners" if "ProphetRunner" in command else "workers" if "--worker-id" in command else "others"
            found[name] += process.memory_full_info().pss / _MB
    return dict(found)


def _answers_table(mix: list[Kind], load: Load) -> str:
    lines = [(kind.name, f"{load.answers[kind.name]:,}", _wrong(kind, load)) for kind in mix]
    return table(("kind", "answers", "not as they must be"), lines)


def _wrong(kind: Kind, load: Load) -> str:
    found = {what: number for what, number in load.wrong.items() if what.startswith(f"{kind.name}: ")}
    return ", ".join(f"{number} x {what.rpartition(': ')[2]}" for what, number in found.items()) or "-"


def _samples_table(samples: list[Sample]) -> str:
    """At most a dozen of the samples, the first and the last among them."""
    step = max(1, len(samples) // 11)
    shown = [*samples[:-1:step], samples[-1]]
    names = sorted({name for sample in samples for name in sample.memory})
    header = ("minute", *(f"{name} MB" for name in names), "all MB", "series", "/metrics bytes")
    return table(header, [tuple(_cells(sample, names, samples[0].at)) for sample in shown])


def _cells(sample: Sample, names: list[str], began: float) -> Iterator[str]:
    yield f"{(sample.at - began) / 60:.1f}"
    yield from (f"{sample.memory.get(name, 0.0):,.0f}" for name in names)
    yield f"{sample.total:,.0f}"
    yield f"{sample.metrics_series:,}"
    yield f"{sample.metrics_bytes:,}"


if __name__ == "__main__":
    sys.exit(main())
