"""Prometheus metrics of the HTTP side, with labels whose values are few.

BentoML labels its own HTTP metrics with the raw path, so that every /models/{model_id} ever asked for would stay
in memory for good (see docs/decisions); these have the route instead.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.responses import Response

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts requests and times them.

    multiprocess: whether the workers share PROMETHEUS_MULTIPROC_DIR, as BentoML sets it up.
    """

    def __init__(self, *, multiprocess: bool) -> None:
        registry = CollectorRegistry()
        # In a process group the values live in shared files, and only MultiProcessCollector reads them.
        self._collect: Callable[[], CollectorRegistry] = _shared_registry if multiprocess else lambda: registry
        self._requests = Counter(
            "forecast_http_requests_total", "HTTP requests answered.", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "forecast_http_request_seconds", "Time to answer.", ["route"], registry=registry, buckets=_BUCKETS
        )

    def count(self, route: str, status: int, seconds: float) -> None:
        """Record one answered request; route is a route's pattern, never a raw path."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def exposition(self) -> Response:
        """Everything that this service and its runners count, in Prometheus's text format."""
        return Response(generate_latest(self._collect()), media_type=CONTENT_TYPE_LATEST)


def _shared_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
