"""One HTTP worker, put together: the app, what stands behind it, the host's catalog, the forecast log."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.app import ForecastApp
from serving.backend import Runners, WorkerBackend
from serving.catalog import registry_of_environment
from serving.catalog_health import gauges_of
from serving.follower import Follower
from serving.metrics import Metrics
from serving.settings import Settings

if TYPE_CHECKING:
    from serving.forecast_log import LogWriter


@dataclass(frozen=True, eq=False)
class Worker:
    """What a process that speaks HTTP has; log: None where no forecast log is kept."""

    app: ForecastApp
    backend: WorkerBackend
    log: LogWriter | None


def start_worker(settings: Settings, runners: Runners) -> Worker:
    """Map the host's catalog and begin to follow it, ready to answer. Raises KeyFileError."""
    registry = registry_of_environment()
    follower = Follower(registry, settings)
    metrics = Metrics(multiprocess="PROMETHEUS_MULTIPROC_DIR" in os.environ, gauges=lambda: gauges_of(follower))
    log = _open_log(settings, metrics)
    backend = WorkerBackend(
        runners,
        registry,
        settings,
        follower=follower,
        metrics=metrics,
        more_problems=log.problems if log else tuple,
    )
    app = ForecastApp(settings, backend, metrics, log.record if log else None)
    follower.start()
    return Worker(app, backend, log)


def _open_log(settings: Settings, metrics: Metrics) -> LogWriter | None:
    if settings.log_url is None:
        return None
    from serving.forecast_log import open_writer  # SQLAlchemy with it, of which each worker would hold its own 12 MB

    return open_writer(settings.log_url.get_secret_value(), metrics, settings.log_buffer)
