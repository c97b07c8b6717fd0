"""Train a Spark DataFrame where it is: the table never passes this process, only the models do."""

from __future__ import annotations

import fnmatch
import math
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import reduce
from itertools import chain
from operator import or_
from typing import Any

import numpy as np
import pandas as pd
from pyspark import RDD
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import (
    DataType,
    DateType,
    DecimalType,
    NumericType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from forecasting.errors import Fault
from training.config import JobConfig
from training.dataset import Dataset
from training.engines.spark import failures_told, runner, with_our_code
from training.engines.work import Training, Work, WorkerDied, as_ready, train_or_part
from training.errors import ConfigError, SourceError
from training.segment import Failed, Outcome, train_chunk
from training.sources import BOUNDS
from training.spool import Chunk

_PER_WORKER = 4  # partitions: so that no worker is idle while another has most of the segments left
_HALF = (1 << 32) - 1  # the sum of whole hashes would not fit in a number of Spark's


def train_dataframe(table: DataFrame, config: JobConfig, work: Work = train_chunk) -> Training:
    """Read and part a table, to train its segments where they are, as outcomes are asked for.

    table: the columns that config.source.columns names, and the model's own; config.source is not read otherwise. The
    segments are hashed into partitions of at most about config.chunk; the columns of dates should be dates or
    timestamps without a time zone. Faults count a segment's rows from 0 in the order of their dates. Rows without a
    segment are one Failed whose segment is "".
    Raises SourceError when the table lacks columns or rows, ConfigError for duplicates "last", which needs an order
    of rows that a DataFrame does not have, and TrainingError when Spark fails.
    """
    if config.checks.duplicates == "last":
        raise ConfigError("checks.duplicates: 'last' needs the order of rows, and a DataFrame has none")
    with failures_told():
        rows = _renamed(table, config)
        segments, keyless, dataset = _counted(rows)
    return Training(_outcomes(rows, segments, keyless, config, work), segments, dataset)


def _outcomes(
    rows: DataFrame, segments: int, keyless: int, config: JobConfig, work: Work
) -> Generator[list[Outcome], None, None]:
    context = rows.sparkSession.sparkContext
    run, workers = runner(context, config, work), config.workers or context.defaultParallelism
    with failures_told():
        pieces = max(1, math.ceil(segments / config.chunk), min(segments, _PER_WORKER * workers))
        parted = rows.filter(~_is_keyless()).repartition(pieces, "segment")
        trained = _on_each_partition(parted, lambda chunk: work(chunk, config))
        partitions = trained.getNumPartitions()  # the table is read and parted here

    def train(partition: int) -> list[Outcome]:
        try:
            return _flat(_results(trained, partition))
        except WorkerDied:  # one chunk may come here after all
            return _flat(
                train_or_part(chunk, run) for chunk in _results(_on_each_partition(parted, _itself), partition)
            )

    yield from filter(None, as_ready(range(partitions), train, workers))
    if keyless:
        column = config.source.columns.segment
        message = f"In column {column!r}, {'1 row has' if keyless == 1 else f'{keyless} rows have'} no key."
        yield [Failed("", (Fault("missing_segment", message, column),))]


def _renamed(table: DataFrame, config: JobConfig) -> DataFrame:
    """The columns that training reads, by the names and in the types that a source of ours would give them."""
    names = config.source.columns
    own = [name for name in dict.fromkeys([*config.model.history_columns, *BOUNDS]) if name in table.columns]
    lacking = {names.segment, names.ds, names.y, *config.model.history_columns}.difference(table.columns)
    if lacking:
        there = ", ".join(map(repr, table.columns))
        raise SourceError(f"the DataFrame lacks {', '.join(map(repr, sorted(lacking)))}; its columns are {there}")
    chosen = {"segment": names.segment, "ds": names.ds, "y": names.y, **{name: name for name in own}}
    columns = [_plain(table[theirs], table.schema[theirs].dataType).alias(ours) for ours, theirs in chosen.items()]
    rows = table.select(*columns).withColumn("segment", F.col("segment").cast("string"))
    if config.segments is None:
        return rows
    return rows.filter(reduce(or_, [_matches(pattern) for pattern in config.segments], F.lit(False)))


def _plain(column: Column, kind: DataType) -> Column:
    """A column in a type of which pandas makes one array."""
    if isinstance(kind, DecimalType):
        return column.cast("double")
    return column.cast("timestamp_ntz") if isinstance(kind, DateType) else column


def _matches(pattern: str) -> Column:
    return (F.col("segment") == pattern) | F.col("segment").rlike(fnmatch.translate(pattern))


def _is_keyless() -> Column:
    return F.col("segment").isNull() | (F.trim("segment") == "")


def _counted(rows: DataFrame) -> tuple[int, int, Dataset]:
    """How many segments there are, how many rows without one, and what all rows say, in any order.

    Raises SourceError when there is no row.
    """
    key, hashed = F.when(~_is_keyless(), F.col("segment")), F.xxhash64(*rows.columns)
    halves = [F.sum(half) for half in (hashed.bitwiseAND(F.lit(_HALF)), F.shiftrightunsigned(hashed, 32))]
    counts = rows.agg(F.count_distinct(key), F.count("*"), F.count(key), *halves).first()
    segments, total, keyed, low, high = (int(count or 0) for count in counts)
    if total == 0:
        raise SourceError("the DataFrame has no rows that were asked for")
    columns = {field.name: _kind(field.dataType) for field in rows.schema}
    return segments, total - keyed, Dataset(total, f"{(low + (high << 32)) % (1 << 64):016x}", columns)


def _kind(kind: DataType) -> str:
    """A type as Dataset calls it."""
    if isinstance(kind, StringType):
        return "text"
    if isinstance(kind, NumericType):
        return "number"
    return "date" if isinstance(kind, (DateType, TimestampType, TimestampNTZType)) else "mixed"


def _on_each_partition(rows: DataFrame, function: Callable[[Chunk], object]) -> RDD[Row]:
    """The function of each partition as one chunk, to be computed partition by partition, pickled."""

    def apply(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        frames = [batch for batch in batches if len(batch)]
        if frames:
            yield pd.DataFrame({"result": [pickle.dumps(function(_as_chunk(pd.concat(frames))))]})

    on_cluster = with_our_code(rows.sparkSession.sparkContext, apply)
    return rows.mapInPandas(on_cluster, "result binary").rdd


def _results(rdd: RDD[Row], partition: int) -> list[Any]:
    """What one partition comes to: one result, or none if it is empty. Raises WorkerDied, TrainingError."""
    with failures_told():
        return [pickle.loads(row.result) for row in rdd.context.runJob(rdd, list, [partition])]


def _itself(chunk: Chunk) -> Chunk:
    return chunk


def _flat(chunks: Iterable[list[Outcome]]) -> list[Outcome]:
    return list(chain.from_iterable(chunks))


def _as_chunk(frame: pd.DataFrame) -> Chunk:
    """Rows in no order as a chunk, sorted by segment, date and value so that the order cannot matter."""
    frame = frame.sort_values(list(frame.columns), ignore_index=True)
    keys = frame.pop("segment").to_numpy()
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    ends = np.append(starts[1:], len(keys))
    frame.index = pd.Index(np.arange(len(keys)) - np.repeat(starts, ends - starts))
    return Chunk(tuple(map(str, keys[starts])), np.append(starts, len(keys)), frame)
