"""A training job in a process of its own that kills itself, as kill -9 would, at a moment that a test chooses."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from mlflow.tracking import MlflowClient

from registry import log
from registry.api_writer import ApiWriter
from registry.registry import CHAMPION, Registry
from registry.tables import writer
from registry.tables.writer import BulkWriter
from training import job
from training.config import JobConfig
from training.engines.work import Engine
from training.segment import Outcome, train_chunk
from training.spool import Chunk

# What is called at the moment, and whether it has done its work by then.
IN_BULK: dict[str, tuple[Any, str, bool]] = {
    "files are stored": (BulkWriter, "_insert_versions", False),
    "versions are written, not committed": (BulkWriter, "_insert_versions", True),
    "versions are registered": (writer, "move_aliases", False),
    "aliases are written, not committed": (writer, "move_aliases", True),
}
ONE_BY_ONE: dict[str, tuple[Any, str, bool]] = {
    "a model is logged": (MlflowClient, "create_model_version", False),
    "a version is registered": (Registry, "set_challenger", False),
    "a promotion is recorded": (Registry, "_set_alias", False),
}


@contextmanager
def engine_here(config: JobConfig) -> Iterator[Engine]:
    """An engine without processes, whose start takes seconds: chunk after chunk, in order."""

    def train_all(chunks: Iterable[Chunk]) -> Generator[list[Outcome], None, None]:
        return (train_chunk(chunk, config) for chunk in chunks)

    yield Engine(config.workers or 1, train_all)


def use_the_api() -> None:
    """Let jobs of this process register segments one by one."""
    log.open_writer = ApiWriter  # type: ignore[assignment]


def die(store: str, config: JobConfig, moment: str, told: Connection) -> None:
    """Run a job that tells its run and is killed at the moment, in its second chunk."""
    if moment in ONE_BY_ONE:
        use_the_api()
    owner, name, after = (IN_BULK | ONE_BY_ONE)[moment]
    setattr(owner, name, _deadly(getattr(owner, name), after))
    job.open_engine = engine_here
    job.run_job(config, Registry(store), begun=told.send)


def _deadly(original: Callable[..., Any], after: bool) -> Callable[..., Any]:
    calls = 0

    def replacement(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += original.__name__ != "_set_alias" or CHAMPION in given
        if calls == 2 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        outcome = original(*given, **named)
        if calls == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome

    return replacement
