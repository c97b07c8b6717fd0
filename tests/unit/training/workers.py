"""Work items for test_local.py, in a module of its own so that a spawned process can import it.

Run as a program it is a job that tells its worker's process id and then waits to be killed.
"""

from __future__ import annotations

import os
import signal

import numpy as np
import pandas as pd

from forecasting.errors import Fault
from training.config import JobConfig, load_config
from training.engines.local import train_all
from training.segment import Failed, Outcome
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


if __name__ == "__main__":
    for outcomes in train_all([chunk_of("a")], load_config(None, {"source.path": "a.csv"}), tell_process):
        for outcome in outcomes:
            print(outcome.faults[0].code if isinstance(outcome, Failed) else "", flush=True)  # noqa: T201
        signal.pause()
