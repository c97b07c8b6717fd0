"""Prometheus metrics of the HTTP side, with labels whose values are few.

BentoML labels its own HTTP metrics with the raw path, so that every /models/{model_id} ever asked for would stay
in memory for good (see docs/decisions); these have the route instead. Segments are never labels.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client import Gauge as Level
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.responses import Response

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Gauge(NamedTuple):
    """A number as it is at this moment."""

    name: str
    help: str
    value: float


class Metrics:
    """Counts requests and forecasts, times requests, and tells the gauges of the worker that is asked.

    multiprocess: whether the workers share PROMETHEUS_MULTIPROC_DIR, as BentoML sets it up. gauges: read at every
    scrape; they describe what all workers share, such as the catalog.
    """

    def __init__(self, *, multiprocess: bool, gauges: Callable[[], Iterable[Gauge]] = tuple) -> None:
        own = CollectorRegistry()
        # In a process group the values live in shared files, and only MultiProcessCollector reads them.
        self._collect: Callable[[], CollectorRegistry] = _shared_registry if multiprocess else lambda: own
        self._gauges = gauges
        requests = Counter("forecast_http_requests_total", "HTTP requests answered.", ["route", "status"], registry=own)
        seconds = Histogram(
            "forecast_http_request_seconds", "Time to answer.", ["route"], registry=own, buckets=_SECONDS
        )
        outcomes = Counter("forecast_outcomes_total", "Forecasts, by what came of them.", ["outcome"], registry=own)
        self._sizes = Histogram(
            "forecast_batch_size", "Forecasts that were computed in one go.", registry=own, buckets=_SIZES
        )
        self._fits = Counter(
            "forecast_fits_total", "Fits of inline history, by how they were come by.", ["found"], registry=own
        )
        self._waiting = Level(
            "forecast_runner_queue",
            "Requests that wait for a runner.",
            ["work"],
            registry=own,
            multiprocess_mode="livesum",
        )
        self._at_runners = Level(
            "forecast_runner_requests",
            "Requests that a runner works on.",
            ["work"],
            registry=own,
            multiprocess_mode="livesum",
        )
        self._runner_sizes = Histogram(
            "forecast_runner_batch_size", "Requests that a runner got in one call.", registry=own, buckets=_SIZES
        )
        self._logged = Counter("forecast_log_written_total", "Forecasts that are in the forecast log.", registry=own)
        self._unlogged = Counter(
            "forecast_log_dropped_total", "Forecasts that the forecast log has not got, and will not get.", registry=own
        )
        self._log_waiting = Level(
            "forecast_log_waiting",
            "Forecasts that wait in memory for the forecast log.",
            registry=own,
            multiprocess_mode="livesum",
        )
        # Finding a label's counter takes longer than counting; there are few.
        self._requests = lru_cache(maxsize=None)(lambda route, status: requests.labels(route, str(status)))
        self._seconds = lru_cache(maxsize=None)(seconds.labels)
        self._outcomes = lru_cache(maxsize=None)(outcomes.labels)

    def count(self, route: str, status: int, seconds: float) -> None:
        """Record one answered request; route is a route's pattern, never a raw path."""
        self._requests(route, status).inc()
        self._seconds(route).observe(seconds)

    def count_outcome(self, outcome: str) -> None:
        """Record what came of one forecast: "forecast", or the code of the refusal."""
        self._outcomes(outcome).inc()

    def count_outcomes(self, outcomes: Iterable[str]) -> None:
        """`count_outcome` for those of a batch."""
        for outcome, number in Tally(outcomes).items():
            self._outcomes(outcome).inc(number)

    def count_batch(self, size: int) -> None:
        """Record how many forecasts were computed in one go."""
        self._sizes.observe(size)

    def count_fit(self, found: str) -> None:
        """Record how the fit of an inline history was come by."""
        self._fits.labels(found).inc()

    def runners(self, work: str) -> RunnerMetrics:
        """Where a queue of one kind of work for the runners records what happens to it."""
        return RunnerMetrics(self._waiting.labels(work), self._at_runners.labels(work), self._runner_sizes)

    def count_logged(self, forecasts: int) -> None:
        """Record how many forecasts were written to the forecast log."""
        self._logged.inc(forecasts)

    def count_unlogged(self, forecasts: int) -> None:
        """Record how many will never be."""
        self._unlogged.inc(forecasts)

    def level_log(self, waiting: int) -> None:
        """Tell how many are still to be."""
        self._log_waiting.set(waiting)

    def exposition(self) -> Response:
        """Everything that this service and its runners count, in Prometheus's text format."""
        registry = self._collect()
        now = CollectorRegistry()
        now.register(_Now(self._gauges))
        return Response(generate_latest(registry) + generate_latest(now), media_type=CONTENT_TYPE_LATEST)


class RunnerMetrics(NamedTuple):
    """The gauges of one kind of work for the runners, and the sizes of all calls."""

    waiting: Level
    working: Level
    sizes: Histogram

    def wait(self, change: int) -> None:
        """So many more requests wait, or fewer."""
        self.waiting.inc(change)

    def work(self, change: int) -> None:
        """So many more requests are with a runner, or fewer."""
        self.working.inc(change)

    def sent(self, tasks: int) -> None:
        """A call with so many requests has been made."""
        self.sizes.observe(tasks)


class _Now(Collector):
    """Gauges that are read when they are asked for."""

    def __init__(self, gauges: Callable[[], Iterable[Gauge]]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for gauge in self._gauges():
            yield GaugeMetricFamily(gauge.name, gauge.help, value=gauge.value)


def _shared_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
