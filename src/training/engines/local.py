"""Run chunks of segments in worker processes, one of which may die without taking the job along."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice

from training.config import JobConfig
from training.engines.work import IN_FLIGHT, ONE_THREAD, Engine, Work, died
from training.segment import Outcome, train_chunk
from training.spool import Chunk


@contextmanager
def connect(config: JobConfig, work: Work = train_chunk) -> Iterator[Engine]:
    """This machine's processes, started when there are chunks."""
    workers = config.workers or os.cpu_count() or 1
    yield Engine(workers, lambda chunks: _train_all(chunks, config, work, workers))


def _train_all(
    chunks: Iterable[Chunk], config: JobConfig, work: Work, workers: int
) -> Generator[list[Outcome], None, None]:
    """Segments that were under way when a worker process died are tried once more, each alone: only the one that
    kills its worker fails.
    """
    waiting, struck = iter(chunks), list[Chunk]()
    while (yield from _until_it_breaks(waiting, config, work, struck, workers, IN_FLIGHT * workers)):
        pass
    alone, lost = chain.from_iterable(chunk.apart() for chunk in struck), list[Chunk]()
    while (yield from _until_it_breaks(alone, config, work, lost, workers=1, in_flight=1)):
        pass
    yield from map(died, lost)


def _until_it_breaks(
    waiting: Iterator[Chunk], config: JobConfig, work: Work, struck: list[Chunk], workers: int, in_flight: int
) -> Generator[list[Outcome], None, bool]:
    """Work off `waiting` in one pool; when a worker dies, move what was under way to `struck`, and say so."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, initializer=_end_with_the_job)
    flying: dict[Future[list[Outcome]], Chunk] = {}

    def submit(chunk: Chunk) -> None:
        try:
            flying[pool.submit(work, chunk, config)] = chunk
        except BrokenProcessPool:
            struck.append(chunk)
            raise

    try:
        while True:
            with _one_thread_each():
                for chunk in islice(waiting, in_flight - len(flying)):
                    submit(chunk)
            if not flying:
                return False
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                outcomes = future.result()
                del flying[future]
                yield outcomes
    except BrokenProcessPool:
        struck.extend(flying.values())
        return True
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_the_job() -> None:
    """In a worker: exit as soon as the job is gone, even killed; a worker would wait for work for ever."""

    job = multiprocessing.parent_process()
    assert job is not None
    threading.Thread(target=_exit_after, args=(job.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start meanwhile use one thread for linear algebra: the segments are what runs in parallel."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
