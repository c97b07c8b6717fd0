"""What the engines share: the work, its one thread, and what becomes of a chunk whose worker dies."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from forecasting.errors import Fault
from training.config import JobConfig
from training.dataset import Dataset
from training.errors import TrainingError
from training.segment import Failed, Outcome
from training.spool import Chunk

Work = Callable[[Chunk, JobConfig], list[Outcome]]
Piece = TypeVar("Piece")

IN_FLIGHT = 2  # chunks a worker may be ahead of the caller: enough to stay busy, few enough to hold in memory
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
_TRIES = 2


@dataclass(frozen=True)
class Engine:
    """What trains chunks, as long as its connection is open. workers: how many chunks at a time.

    train_all: draws chunks as it needs them, so that a source may be larger than memory, and yields the outcomes of
    each in the order in which they are ready. Raises TrainingError when the workers cannot run our code.
    """

    workers: int
    train_all: Callable[[Iterable[Chunk]], Generator[list[Outcome], None, None]]


@dataclass(frozen=True)
class Training:
    """What a job trains. outcomes: as they are ready; segments: how many of them are to come; dataset: what of."""

    outcomes: Iterable[Sequence[Outcome]]
    segments: int
    dataset: Dataset


class WorkerDied(TrainingError):
    """The process that ran a piece of work, or its machine, is gone; the work may be tried again."""


def died(chunk: Chunk) -> list[Outcome]:
    """The outcomes of segments that are given up."""
    message = "The process that trained this segment died twice; was it killed for its memory?"
    return [Failed(segment, (Fault("worker_died", message),)) for segment in chunk.segments]


def as_ready(
    pieces: Iterable[Piece], train: Callable[[Piece], list[Outcome]], workers: int
) -> Generator[list[Outcome], None, None]:
    """Train pieces, `workers` of them at a time, each watched by a thread while a cluster does the work.

    Pieces are drawn as they are needed, at most IN_FLIGHT for each worker; outcomes come in the order in which they
    are ready. What `train` raises ends it all.
    """
    waiting, flying = iter(pieces), set[Future[list[Outcome]]]()
    threads = ThreadPoolExecutor(workers)
    try:
        while True:
            room = IN_FLIGHT * workers - len(flying)
            flying.update(threads.submit(train, piece) for piece in islice(waiting, room))
            if not flying:
                return
            done, flying = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        threads.shutdown(cancel_futures=True)


def train_or_part(chunk: Chunk, run: Callable[[Chunk], list[Outcome]]) -> list[Outcome]:
    """Run a chunk again when its worker died, then each of its segments alone: only the one that kills them fails."""
    for _ in range(_TRIES):
        with suppress(WorkerDied):
            return run(chunk)
    if len(chunk) == 1:
        return died(chunk)
    return [outcome for alone in chunk.apart() for outcome in train_or_part(alone, run)]
