"""Run chunks as tasks of a Ray cluster.

The cluster needs the packages of requirements/train.txt; our own code is sent along, unless the process is connected
to Ray already: then that connection's runtime environment has to bring it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray import exceptions

import forecasting
import training
from training.config import JobConfig
from training.engines.work import ONE_THREAD, Engine, Work, WorkerDied, as_ready, train_or_part
from training.errors import TrainingError
from training.segment import Outcome, train_chunk
from training.spool import Chunk

_DEATHS = (
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
    exceptions.NodeDiedError,
    exceptions.LocalRayletDiedError,
    exceptions.ObjectLostError,
)


@contextmanager
def connect(config: JobConfig, work: Work = train_chunk) -> Iterator[Engine]:
    """A cluster's CPUs. Raises TrainingError when there is no such cluster."""
    with _connected(config.engine.address):
        # Tries are counted by train_or_part: Ray would retry for ever what it has killed for its memory.
        task = ray.remote(num_cpus=1, max_retries=0)(work).options(runtime_env={"env_vars": ONE_THREAD})
        settings = ray.put(config)

        def run(chunk: Chunk) -> list[Outcome]:
            try:
                outcomes: list[Outcome] = ray.get(task.remote(chunk, settings))
            except _DEATHS as error:
                raise WorkerDied(f"workers of Ray's die: {error}") from error
            except exceptions.RayError as error:
                raise TrainingError(f"training on Ray failed; has it all of requirements/train.txt? {error}") from error
            return outcomes

        workers = config.workers or int(ray.cluster_resources().get("CPU", 1))
        yield Engine(workers, lambda chunks: as_ready(chunks, lambda chunk: train_or_part(chunk, run), workers))


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Be connected to a cluster: as before; or to the one at the address; or to any on this machine, or a new one."""
    if ray.is_initialized():
        yield
        return
    code = {"py_modules": [forecasting, training]}
    try:
        ray.init(address, runtime_env=code, include_dashboard=False, log_to_driver=False, logging_level="warning")
    except (exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        raise TrainingError(f"cannot connect to Ray at {address or 'this machine'}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()
