"""Run segments in worker processes, one of which may die without taking the job along."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import pandas as pd

from forecasting.errors import Fault
from training.config import JobConfig
from training.segment import Failed, Trained, train_segment

Outcome = Trained | Failed
Work = Callable[[str, pd.DataFrame, JobConfig], Outcome]
_IN_FLIGHT = 4  # segments a worker may be ahead of the caller: enough to stay busy, few enough to hold in memory
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


def train_all(frames: Mapping[str, pd.DataFrame], config: JobConfig, work: Work = train_segment) -> Iterator[Outcome]:
    """Train every segment, and yield outcomes in the order in which they are ready.

    Segments that were under way when a worker process died are tried once more, each alone, so that the one that
    kills its worker is the only one to fail.
    """
    waiting, struck = deque(frames), deque[str]()
    workers = config.workers or os.cpu_count() or 1
    while waiting:
        yield from _until_it_breaks(frames, config, work, waiting, struck, workers)
    while struck:
        segment = struck.popleft()
        again: deque[str] = deque()
        yield from _until_it_breaks(frames, config, work, deque([segment]), again, 1)
        if again:
            message = "The process that trained this segment died twice; was it killed for its memory?"
            yield Failed(segment, (Fault("worker_died", message),))


def _until_it_breaks(
    frames: Mapping[str, pd.DataFrame],
    config: JobConfig,
    work: Work,
    waiting: deque[str],
    struck: deque[str],
    workers: int,
) -> Iterator[Outcome]:
    """Work off `waiting` in one pool; when a worker dies, move what was under way to `struck` and stop."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(waiting)), spawn, initializer=_end_with_the_job)
    flying: dict[Future[Outcome], str] = {}
    try:
        while waiting or flying:
            with _one_thread_each():
                while waiting and len(flying) < _IN_FLIGHT * workers:
                    flying[pool.submit(work, waiting[0], frames[waiting[0]], config)] = waiting[0]
                    waiting.popleft()
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = future.result()
                del flying[future]
                yield outcome
    except BrokenProcessPool:
        struck.extend(flying.values())
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
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
