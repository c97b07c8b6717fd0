"""Under constant load from 32 connections no good request fails, whatever breaks, and each answer is of one version.

`make proof` runs the long forms and prints their figures, which docs/catalog.md has.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.servers import free_port
from benchmarks.servers import serving as running
from tests.e2e.host import (
    GOOD,
    PERIODS,
    SEGMENTS,
    Host,
    bring_code,
    filled,
    flip_bytes,
    host,
    kill,
    lose_parameters,
    small_disk,
    spoil,
)
from tests.e2e.load import CONNECTIONS, PATHS, Load, Report, load
from tests.waiting import say, until

LONG = pytest.mark.slow


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The disk with the snapshot, small enough to be filled."""
    with small_disk(tmp_path_factory.mktemp("disk") / "snapshots", kilobytes=512) as folder:
        yield folder


@pytest.fixture(scope="module")
def served(disk: Path, tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Host]:
    """A host on SQLite, as in a container."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    with host(f"sqlite:///{folder}/mlflow.db", folder, disk) as serving:
        yield serving


@contextlib.contextmanager
def nothing_dropped(served: Host, folder: Path, *, lost: int = 0, refused: bool = False) -> Iterator[Load]:
    """Load, and at its end not one request that failed.

    lost: workers that are killed meanwhile, each of which takes the requests with it that it was answering: those, and
    no others, have to be asked twice. refused: whether histories may be told to come later.
    """
    with load(served.url, served.known, folder, periods=PERIODS) as callers:
        yield callers
        callers.go_on()
        for path in PATHS:
            callers.go_on(1, path)
    report = callers.report()
    assert report.failed == 0, "\n".join(report.failures)
    assert report.gone == 0
    assert report.dropped <= lost * CONNECTIONS
    assert refused or report.refused == 0
    _say_all(report)


def _say_all(report: Report) -> None:
    forecasts = sum(report.served.values())
    say(
        f"\n{report.answers:,} answers ({forecasts:,} registered forecasts), {report.failed} failed, "
        f"{report.dropped} asked again, {report.refused} histories refused, slowest {report.slowest * 1e3:.0f} ms"
    )


@pytest.mark.parametrize("rounds", [3, pytest.param(200, marks=LONG)])
def test_promotions_and_rollbacks(served: Host, tmp_path: Path, rounds: int) -> None:
    """Each is live within seconds; at no time does an answer mix two versions, or is one of neither."""
    took = []
    with nothing_dropped(served, tmp_path) as callers:
        for number in range(rounds):
            segment = SEGMENTS[number % len(SEGMENTS)]
            took += [served.promote(segment, 2), served.roll_back(segment)]
    both = [segment for segment in SEGMENTS[:rounds] if callers.report().served.get(f"{segment} 2")]
    assert both, "no caller was ever answered from a promoted version"
    say(f"{len(took)} moves, live after {sorted(took)[len(took) // 2]:.2f} s, the slowest {max(took):.2f} s")


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=LONG)])
def test_the_syncing_worker_killed(served: Host, tmp_path: Path, kills: int) -> None:
    """Another takes over at once, and the killed one is replaced, though BENTOML_CONTAINERIZED is set."""
    for number in range(kills):
        with nothing_dropped(served, tmp_path, lost=1) as callers:
            syncer = served.syncer()
            assert syncer in served.workers()
            kill(syncer)
            version = GOOD[1 - number % 2]
            served.registry.promote(SEGMENTS[0], version)
            took = until(lambda: served.version(SEGMENTS[0]) == version, "a promotion by the next syncer")  # noqa: B023
            assert served.syncer() not in (None, syncer)
            back = until(served.is_whole, "the killed worker replaced")
            callers.go_on()
        say(f"a promotion after it was live in {took:.2f} s, the worker replaced {back:.1f} s after that")


@pytest.mark.parametrize(
    ("how", "reason"),
    [(flip_bytes, "model.pr"), (bring_code, "code"), (lose_parameters, "finite")],
    ids=["corrupt", "with code", "not a number"],
)
def test_a_bad_champion(served: Host, tmp_path: Path, how: Callable[[Path], None], reason: str) -> None:
    """It is refused, the last good version is served, and operators are told: in numbers, words and by name."""
    segment = SEGMENTS[1]
    before = served.version(segment)
    bad = spoil(served, segment, how)

    def told() -> bool:
        lines = [line for line in served.log.read_text().splitlines() if f"{segment!r} version {bad}:" in line]
        return any("refused, and the last good version goes on" in line and reason in line for line in lines)

    with nothing_dropped(served, tmp_path) as callers:
        served.registry.promote(segment, bad)
        until(told, lambda: f"a word in the log:\n{served.log.read_text()[-2000:]}")
        until(served.is_settled, "every worker's knowing")
        until(lambda: served.metric("forecast_catalog_rejected") == 1, "the metric")
        until(lambda: served.says("champions that cannot be used: 1; last good versions go on"), "words")
        callers.go_on()
        assert served.version(segment) == before
        served.registry.rollback(segment)
        until(lambda: served.is_healthy() and served.metric("forecast_catalog_rejected") == 0, "health")


def test_a_full_disk(served: Host, tmp_path: Path, disk: Path) -> None:
    """The old snapshot is served and the reason told; when there is room again, the promotion goes live."""
    segment = SEGMENTS[2]
    before = served.version(segment)
    errors = served.metric("forecast_catalog_sync_errors")
    with nothing_dropped(served, tmp_path) as callers:
        with filled(disk):
            served.registry.promote(segment, 3 - before)
            until(lambda: served.says("the catalog's snapshot cannot be written: No space left on device"), "words")
            assert served.metric("forecast_catalog_sync_errors") > errors
            callers.go_on()
            assert served.version(segment) == before
        until(lambda: served.serves(segment, 3 - before), "the promotion, with room on the disk")
        until(served.is_healthy, "health")


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=LONG)])
def test_a_runner_killed(served: Host, tmp_path: Path, kills: int) -> None:
    """Only histories, which it would have fitted, may be told to come later; the runner is replaced."""
    for _ in range(kills):
        with nothing_dropped(served, tmp_path, refused=True) as callers:
            (runner,) = served.runners()
            kill(runner)
            assert served.is_ready(), "a load balancer would take the host from those who need no runner"
            callers.go_on()
            back = until(served.is_whole, "the killed runner replaced")
            callers.go_on(5, "/forecast?inline")
        say(f"the runner was replaced after {back:.1f} s")


def test_a_database_that_is_away(served: Host, tmp_path: Path) -> None:
    """SQLite's file is gone for a while, as with a volume that was lost."""
    database = Path(served.registry.uri.removeprefix("sqlite:///"))
    aside = database.with_suffix(".aside")
    with nothing_dropped(served, tmp_path) as callers:
        database.rename(aside)
        database.mkdir()  # where there is no file, SQLite would make one
        until(lambda: served.says("the model registry does not answer"), "words")
        callers.go_on()
        database.rmdir()
        aside.rename(database)
        until(served.is_healthy, "health")
        served.promote(SEGMENTS[3], 3 - served.version(SEGMENTS[3]))


@pytest.mark.parametrize("seconds", [3.0, pytest.param(60.0, marks=LONG)])
def test_the_registry_stopped(store: str, tmp_path: Path, seconds: float) -> None:
    """An `mlflow server` is killed, and started again after so many seconds."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.ExitStack())
        url = first.enter_context(_mlflow(port, store, tmp_path))
        served = stack.enter_context(host(url, tmp_path, tmp_path / "catalog", SEGMENTS[:2]))
        with nothing_dropped(served, tmp_path) as callers:
            served.promote(SEGMENTS[0], 2)
            first.close()
            stopped = time.monotonic()
            told = until(lambda: served.says("the model registry does not answer"), "words")
            callers.go_on()
            until(lambda: time.monotonic() - stopped > seconds, "the time", seconds + 1)
            assert served.version(SEGMENTS[0]) == 2
            stack.enter_context(_mlflow(port, store, tmp_path))
            back = until(served.is_healthy, "health")
            took = served.promote(SEGMENTS[1], 2)
        say(f"away for {seconds:g} s: told after {told:.1f} s, heard of again {back:.1f} s after it was back,")
        say(f"the next promotion was live in {took:.2f} s")


def _mlflow(port: int, database: str, folder: Path) -> contextlib.AbstractContextManager[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"]
    command += ["--backend-store-uri", database, "--artifacts-destination", (folder / "artifacts").as_uri()]
    return running(command, ready="/health", cwd=folder, port=port, grace=0)
