"""Run chunks as Spark jobs, each of one task: Spark schedules them side by side and tries a failed task again.

The cluster needs Python with the packages of requirements/train.txt (PYSPARK_PYTHON says where, and is this Python on
this machine); our own code is sent along. A chunk must fit in spark.rpc.message.maxSize, 128 MB unless set.
"""

from __future__ import annotations

import atexit
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar
from zipfile import ZipFile

from py4j.protocol import Py4JError
from pyspark import SparkContext, cloudpickle
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

import forecasting
import training
from training.config import EngineConfig, JobConfig
from training.engines.work import ONE_THREAD, Engine, Work, WorkerDied, as_ready, train_or_part
from training.errors import TrainingError
from training.segment import Outcome, train_chunk
from training.spool import Chunk

# Spark has no error class for these: how a job's failure reads when a process or a machine of the cluster is gone.
_DEATHS = ("Python worker exited unexpectedly", "ExecutorLostFailure", "Connection reset", "Broken pipe")
_PYTHON = "PYSPARK_PYTHON"

Given = TypeVar("Given")
Result = TypeVar("Result")


@contextmanager
def connect(config: JobConfig, work: Work = train_chunk) -> Iterator[Engine]:
    """A cluster's cores. Raises TrainingError when there is no such cluster."""
    with _context(config.engine) as context:
        run, workers = runner(context, config, work), config.workers or context.defaultParallelism
        yield Engine(workers, lambda chunks: as_ready(chunks, lambda chunk: train_or_part(chunk, run), workers))


def runner(context: SparkContext, config: JobConfig, work: Work) -> Callable[[Chunk], list[Outcome]]:
    """A function that trains a chunk on the cluster. It raises WorkerDied, and TrainingError when all is lost."""

    def train(chunk: bytes) -> list[Outcome]:
        return work(pickle.loads(chunk), config)

    on_cluster = with_our_code(context, train)

    def run(chunk: Chunk) -> list[Outcome]:
        with failures_told():
            outcomes: list[Outcome]
            [outcomes] = context.parallelize([pickle.dumps(chunk)], 1).map(on_cluster).collect()
        return outcomes

    return run


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn what Spark raises into WorkerDied, if a repetition may help, or else TrainingError."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        if any(sign in str(error) for sign in _DEATHS):
            raise WorkerDied(f"workers of Spark's die: {error}") from error
        raise TrainingError(f"training on Spark failed; has it all of requirements/train.txt? {error}") from error


def with_our_code(context: SparkContext, function: Callable[[Given], Result]) -> Callable[[Given], Result]:
    """The function, made so that it finds our code on the cluster, where that is sent once for each context.

    Unpacked, unlike what addPyFile sends: out of a zip file, numba would cache in the home of whoever runs the worker.
    """
    archive = _archive()
    if not any(sent.endswith(archive.name) for sent in context.listArchives):
        context.addArchive(str(archive))
    name, pickled = archive.name, cloudpickle.dumps(function)

    def call(given: Given) -> Result:
        import pickle  # all here: what this function needs from its module would import our code too early
        import sys

        from pyspark import SparkFiles

        if (folder := SparkFiles.get(name)) not in sys.path:
            sys.path.insert(0, folder)
        result: Result = pickle.loads(pickled)(given)
        return result

    return call


@contextmanager
def _context(engine: EngineConfig) -> Iterator[SparkContext]:
    """The active session's context; or one that ends with the block, at the address or where Spark's settings say."""
    active = SparkSession.getActiveSession()
    if active is not None:
        yield active.sparkContext
        return
    settings = {f"spark.executorEnv.{name}": value for name, value in ONE_THREAD.items()}
    settings["spark.ui.showConsoleProgress"] = "false"  # the job has a progress bar of its own
    builder = SparkSession.builder.appName("prophetctl").config(map=settings)
    if engine.address is not None:
        builder = builder.master(engine.address)
    try:
        with _this_python(elsewhere=not (engine.address or "local").startswith("local")):
            session = builder.getOrCreate()
    except (PySparkException, Py4JError) as error:
        where = engine.address or "this machine"
        raise TrainingError(f"cannot start Spark at {where}; it needs Java 17 or 21: {error}") from error
    try:
        yield session.sparkContext
    finally:
        session.stop()


@contextmanager
def _this_python(elsewhere: bool) -> Iterator[None]:
    """Let a Spark that starts meanwhile on this machine run our Python, not the first one in PATH."""
    if elsewhere or _PYTHON in os.environ:
        yield
        return
    os.environ[_PYTHON] = sys.executable
    try:
        yield
    finally:
        del os.environ[_PYTHON]


@cache
def _archive() -> Path:
    """Our code as a zip file, which sessions may ask for as long as this process lives."""
    folder = Path(tempfile.mkdtemp(prefix="prophet-serving-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    archive = folder / f"{folder.name}.zip"
    with ZipFile(archive, "w") as file:
        for package in (forecasting, training):
            root = Path(package.__path__[0])
            for path in sorted(root.rglob("*.py")):
                file.write(path, path.relative_to(root.parent))
    return archive
