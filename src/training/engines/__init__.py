"""Where a job's chunks are trained: on this machine's cores, on a Ray cluster or on Spark.

An engine is a module with one function, `train_all(chunks, config, work)`. It draws chunks as it needs them, runs a
pure function on each, and yields outcomes in the order in which they are ready. Ray and Spark are imported only when
they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module

from training.config import JobConfig
from training.errors import ConfigError
from training.segment import Outcome
from training.spool import Chunk

Engine = Callable[[Iterable[Chunk], JobConfig], Iterator[list[Outcome]]]


def engine_of(config: JobConfig) -> Engine:
    """The engine that the configuration names. Raises ConfigError when a package that it needs is not installed."""
    name = config.engine.name
    try:
        engine: Engine = import_module(f"training.engines.{name}").train_all
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"engine {name!r} needs the package {error.name!r}, which is not installed: "
            "pip install -r requirements/engines.txt, on the cluster too"
        ) from error
    return engine
