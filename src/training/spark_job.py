"""A training job on a Spark DataFrame: the rows stay in Spark, the models come back and are registered by the chunk."""

from __future__ import annotations

import time
from collections.abc import Callable

from pyspark.sql import DataFrame

from registry.log import JobLog
from registry.registry import Registry
from training.champions import Champions
from training.config import JobConfig
from training.engines.spark_dataframe import train_dataframe
from training.errors import ConfigError
from training.job import JOB_NAME, carry_out, job_params
from training.progress import Advance
from training.report import JobReport


def spark_job(
    table: DataFrame,
    config: JobConfig,
    registry: Registry,
    progress: Advance | None = None,
    begun: Callable[[str], None] | None = None,
) -> JobReport:
    """As run_job, on a table that is in Spark: executors check, backtest and fit; this process registers.

    config: of engine spark, its source with column names alone; engine.address is not asked, the table has a session.
    The models are those that any other engine would make of the same rows, to the bit. What comes back at a time is a
    partition of at most about config.chunk segments. Executors do not know the champions, which so count by what their
    versions recorded, unless they came about by the same configuration. A job that was cut short cannot be resumed:
    begin a new one.
    Raises ConfigError for a configuration that says otherwise, and what `train_dataframe` and run_job raise.
    """
    started, source = time.monotonic(), config.source
    if source.path is not None or source.url is not None:
        raise ConfigError("source: the DataFrame takes the place of path and url; leave them out")
    if config.segments_from is not None:
        raise ConfigError("segments_from: a DataFrame can be filtered before it comes here")
    if config.dry_run:
        raise ConfigError("dry_run: a DataFrame is trained and registered; set promote to false to promote nothing")
    training = train_dataframe(table, config)
    log = JobLog(registry, JOB_NAME, job_params(config, training.segments))
    if begun is not None:
        begun(log.run_id)
    return carry_out(config, Champions(registry, config), log, training, progress, started)
