"""Jobs that register the same segments at once, and jobs that are killed in the middle: real processes."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from prophet import Prophet

from forecasting.prophet_model import to_json
from forecasting.state import ForecastModel
from registry.api_writer import ApiWriter
from registry.errors import RegistryError, UnknownSegment
from registry.log import JobLog
from registry.registry import KEPT_EVENTS, Registry
from tests.integration.ordinary import record_of
from tests.integration.writing_job import register

# Jobs are forked from a process that has imported what they need and has opened nothing.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.integration.writing_job"])
PATIENCE = 60
SEGMENTS = 30


@pytest.fixture(scope="session")
def model_json(prophet: Prophet) -> str:
    return to_json(prophet)


@contextmanager
def job(
    registry: Registry, name: str, model_json: str, segments: int, start: Barrier, **until: Any
) -> Iterator[ForkServerProcess]:
    """A job in a process of its own, which is gone at the end of the block. until: see `register`."""
    arguments = (registry.uri, name, model_json, segments, start)
    process = PROCESSES.Process(target=register, args=arguments, kwargs=until)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def writers_of(registry: Registry, segment: str) -> list[str]:
    """Which job each version is from, the first version's first."""
    try:
        return [version.tags["job"] for version in registry.versions(segment)][::-1]
    except UnknownSegment:
        return []


def took_turns(jobs: Sequence[str], one: str, other: str) -> bool:
    """Whether each of two jobs has a version after one of the other's."""
    first, second = f"{one} {other}", f"{other} {one}"
    told = " ".join(jobs)
    return first in told and second in told


def test_two_jobs_on_the_same_segments_number_and_promote_one_after_the_other(
    both_stores: Registry, model_json: str
) -> None:
    """No error and no number twice; each promotion names the one before it, and the last one is served."""
    start, stop = PROCESSES.Barrier(2), PROCESSES.Event()
    with (
        job(both_stores, "a", model_json, SEGMENTS, start, stop=stop) as a,
        job(both_stores, "b", model_json, SEGMENTS, start, stop=stop) as b,
    ):
        # A store lets the jobs in by no rule: one may get ahead by many rounds.
        while not took_turns(writers_of(both_stores, "s0"), "a", "b"):
            assert a.is_alive()
            assert b.is_alive()
            time.sleep(0.1)
        stop.set()
        a.join(PATIENCE)
        b.join(PATIENCE)
        assert (a.exitcode, b.exitcode) == (0, 0)
    rounds = len(both_stores.versions("s0"))
    for number in range(SEGMENTS):
        segment = f"s{number}"
        assert [version.version for version in both_stores.versions(segment)] == list(range(rounds, 0, -1))
        moves = both_stores.history(segment)[::-1]
        assert len({move.version for move in moves}) == len(moves) == min(rounds, KEPT_EVENTS)
        assert [move.previous for move in moves[1:]] == [move.version for move in moves[:-1]]
        assert (moves[0].previous is None) == (rounds <= KEPT_EVENTS)
        assert {move.reason for move in moves} <= {"a", "b"}
        assert both_stores.champion(segment).version == moves[-1].version
        assert both_stores.aliases(segment).keys() == {"champion", "challenger"}


def test_a_job_and_mlflows_own_calls_on_the_same_segments_do_not_collide(
    both_stores: Registry, model_json: str, prophet: Prophet
) -> None:
    """Whoever comes second takes the next number."""
    outcomes, start, stop = [], PROCESSES.Barrier(2), PROCESSES.Event()
    record = record_of(prophet, "s0", metrics={}, params={}, tags={"job": "api"})
    with (
        JobLog(both_stores, "api", {}) as log,
        job(both_stores, "bulk", model_json, 1, start, stop=stop) as bulk,
    ):
        writer = ApiWriter(both_stores, log.run_id, log.experiment)
        start.wait(PATIENCE)
        while not took_turns(writers_of(both_stores, "s0"), "api", "bulk"):
            assert bulk.is_alive()
            outcomes += writer.write([record])
        stop.set()
        bulk.join(PATIENCE)
        assert bulk.exitcode == 0
    assert not [outcome for outcome in outcomes if isinstance(outcome, RegistryError)]
    versions = both_stores.versions("s0")
    assert [version.version for version in versions] == list(range(len(versions), 0, -1))
    assert writers_of(both_stores, "s0").count("api") == len(outcomes)


def orphans(registry: Registry) -> list[tuple[str, str, int]]:
    """Aliases that name no version, or a deleted one."""
    query = sa.text(
        "SELECT a.name, a.alias, a.version FROM registered_model_aliases a LEFT JOIN model_versions v"
        " ON v.workspace = a.workspace AND v.name = a.name AND v.version = a.version"
        " WHERE v.name IS NULL OR v.current_stage = 'Deleted_Internal'"
    )
    engine = sa.create_engine(registry.uri, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def champions(registry: Registry) -> dict[str, int]:
    """Load every champion; a broken one raises."""
    found, token = registry.champions(1000)
    assert token is None
    assert all(isinstance(registry.load(version), ForecastModel) for version in found)
    return {version.segment: version.version for version in found}


def kill_at_random(registry: Registry, model_json: str, times: int) -> None:
    """Register all segments once, then kill job after job that registers them again and again."""
    segments, start = SEGMENTS, PROCESSES.Barrier(2)
    with job(registry, "first", model_json, segments, start, rounds=1) as first:
        start.wait(PATIENCE)
        started = time.monotonic()
        first.join(PATIENCE)
        assert first.exitcode == 0
    whole, before, generator = time.monotonic() - started, champions(registry), random.Random(7)
    assert len(before) == segments
    kills = moved = 0
    while kills < times or not moved:
        kills += 1
        start.reset()
        with job(registry, f"killed {kills}", model_json, segments, start) as killed:
            start.wait(PATIENCE)
            time.sleep(generator.uniform(0.2, 2) * whole)
            assert killed.is_alive()
        after = champions(registry)
        assert after.keys() == before.keys()
        assert all(after[segment] >= before[segment] for segment in before)
        assert len(set(after.values())) == 1, "one transaction promotes all or none"
        assert orphans(registry) == []
        moved += after != before
        before = after


def test_a_job_killed_while_it_writes_leaves_only_sound_champions(both_stores: Registry, model_json: str) -> None:
    """Files first, versions second, aliases last."""
    kill_at_random(both_stores, model_json, times=3)


@pytest.mark.slow
def test_twenty_jobs_killed_while_they_write_leave_only_sound_champions(both_stores: Registry, model_json: str) -> None:
    """The same, twenty times."""
    kill_at_random(both_stores, model_json, times=20)
