"""Where a job's chunks are trained: on this machine's cores, on a Ray cluster or on Spark.

An engine is a module with one function, `connect(config, work)`: a context manager that gives an Engine, which runs a
pure function on each chunk that it is handed. Ray and Spark are imported only when they are asked for.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module

from training.config import JobConfig
from training.engines.work import Engine
from training.errors import ConfigError


def open_engine(config: JobConfig) -> AbstractContextManager[Engine]:
    """The engine that the configuration names, connected in a with block.

    Raises ConfigError when a package that it needs is not installed, and, entering the block, TrainingError when there
    is no such cluster.
    """
    name = config.engine.name
    try:
        engine: AbstractContextManager[Engine] = import_module(f"training.engines.{name}").connect(config)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"engine {name!r} needs the package {error.name!r}, which is not installed: "
            "pip install -r requirements/engines.txt, on the cluster too"
        ) from error
    return engine
