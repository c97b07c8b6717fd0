"""Work items for test_pool.py, in a module of its own so that a spawned process can import it.

Run as a program it is a job that tells its worker's process id and then waits to be killed.
"""

from __future__ import annotations

import os
import signal

import pandas as pd

from forecasting.errors import Fault
from training.config import JobConfig, load_config
from training.pool import train_all
from training.segment import Failed


def echo_or_die(segment: str, frame: pd.DataFrame, config: JobConfig) -> Failed:
    """Give the segment and the thread limit back; die for the segment "poison"."""
    if segment == "poison":
        os._exit(1)
    code = f"{len(frame)} rows, {config.workers} workers, {os.environ['OMP_NUM_THREADS']} thread"
    return Failed(segment, (Fault(code, ""),))


def tell_process(segment: str, _: pd.DataFrame, __: JobConfig) -> Failed:
    """Give back the worker's process id as the fault's code."""
    return Failed(segment, (Fault(str(os.getpid()), ""),))


if __name__ == "__main__":
    tables = {"a": pd.DataFrame({"ds": ["2024-01-01"], "y": [1]})}
    for outcome in train_all(tables, load_config(None, {"source.path": "a.csv"}), tell_process):
        print(outcome.faults[0].code if isinstance(outcome, Failed) else "", flush=True)  # noqa: T201
        signal.pause()
