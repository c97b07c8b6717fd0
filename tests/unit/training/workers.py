"""Work for the tests of engines, in a module of its own so that other processes can import it.

Run as a program it is a job that tells its worker's process id and then waits to be killed.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import numpy as np
import pandas as pd

import training
from forecasting.errors import Fault
from training.config import JobConfig, load_config
from training.engines import local
from training.segment import Failed, Outcome, train_chunk
from training.spool import Chunk


def chunk_of(*segments: str) -> Chunk:
    """Segments of one row each."""
    frame = pd.DataFrame({"ds": ["2024-01-01"] * len(segments), "y": 1})
    return Chunk(segments, np.arange(len(segments) + 1), frame)


def echo_or_die(chunk: Chunk, config: JobConfig) -> list[Outcome]:
    """Give the segments and the thread limit back; die for the segment "poison"."""
    if "poison" in chunk.segments:
        os._exit(1)
    told = f"{config.workers} workers, {os.environ['OMP_NUM_THREADS']} thread"
    return [Failed(segment, (Fault(f"{len(frame)} rows, {told}", ""),)) for segment, frame in chunk]


def tell_process(chunk: Chunk, _: JobConfig) -> list[Outcome]:
    """Give back the worker's process id as the fault's code."""
    return [Failed(segment, (Fault(str(os.getpid()), ""),)) for segment in chunk.segments]


def tell_code(chunk: Chunk, _: JobConfig) -> list[Outcome]:
    """Give back where the worker has our code from."""
    return [Failed(segment, (Fault(training.__path__[0], ""),)) for segment in chunk.segments]


def fail(chunk: Chunk, _: JobConfig) -> list[Outcome]:
    """Raise what no work should."""
    raise ModuleNotFoundError(f"nothing to train {chunk.segments[0]!r} with")


def train_after_an_accident(chunk: Chunk, config: JobConfig) -> list[Outcome]:
    """Train; but the process that takes the second chunk of all is killed. The source's folder remembers."""
    first, second = (config.source.path.with_suffix(suffix) for suffix in (".first", ".second"))
    try:
        first.touch(exist_ok=False)
    except FileExistsError:
        with suppress(FileExistsError):
            second.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
    return train_chunk(chunk, config)


if __name__ == "__main__":
    with local.connect(load_config(None, {"source.path": "a.csv"}), tell_process) as engine:
        for outcomes in engine.train_all([chunk_of("a")]):
            for outcome in outcomes:
                print(outcome.faults[0].code if isinstance(outcome, Failed) else "", flush=True)  # noqa: T201
            signal.pause()
