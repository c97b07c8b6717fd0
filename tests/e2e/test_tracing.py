"""With tracing on, a request is one trace from its caller through the service to a runner, in a real collector."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.conftest import Service, serve
from tests.points import points

DAYS = points(30)
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PATIENCE = 60.0


class Collector(ThreadingHTTPServer):
    """Takes what OTLP's exporters post; spans: those received, by the service that sent them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.spans: list[tuple[str, Span]] = []
        self.paths: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def of_trace(self, trace: str) -> list[tuple[str, Span]]:
        return [(service, span) for service, span in list(self.spans) if span.trace_id.hex() == trace]


class _Post(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {one.key: one.value.string_value for one in group.resource.attributes}
            self.server.spans += [(named["service.name"], span) for scope in group.scope_spans for span in scope.spans]
        self.server.paths.add(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def _ask(service: Service, trace: str, sampled: str, path: str, **body: object) -> None:
    headers = {"traceparent": f"00-{trace}-{PARENT}-{sampled}"}
    answer = service.http.post(path, json=body, headers=headers) if body else service.http.get(path, headers=headers)
    assert answer.status_code == 200, answer.text


def test_a_request_is_one_trace_from_its_caller_to_the_runner(
    collector: Collector, sqlite_store: str, tmp_path: Path
) -> None:
    """The caller's traceparent is kept, and what the caller does not trace, nobody does; no probe is traced."""
    environment = {
        "FORECAST_TRACING": "true",
        "FORECAST_TIMEOUT_SECONDS": "120",  # a first fit takes its time on a busy machine
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    untraced, probed = TRACE[::-1], TRACE.replace("4", "5")
    with serve(sqlite_store, tmp_path, **environment) as service:
        _ask(service, untraced, "00", "/forecast", data=DAYS[1:])  # else its fit would be kept
        _ask(service, probed, "01", "/health")
        _ask(service, TRACE, "01", "/forecast", data=DAYS)
        deadline = time.monotonic() + PATIENCE
        while {name for name, _ in collector.of_trace(TRACE)} < {"ForecastService", "ProphetRunner"}:
            assert time.monotonic() < deadline, collector.spans
            time.sleep(0.1)
    spans = collector.of_trace(TRACE)
    entered = [span for name, span in spans if name == "ForecastService" and span.parent_span_id.hex() == PARENT]
    assert [span.kind for span in entered] == [Span.SPAN_KIND_SERVER]
    by_id = {span.span_id: span for _, span in spans}
    [fitted] = [span for name, span in spans if name == "ProphetRunner" and span.kind == Span.SPAN_KIND_SERVER]
    above = fitted
    while above.span_id != entered[0].span_id:
        above = by_id[above.parent_span_id]
    assert collector.of_trace(untraced) == collector.of_trace(probed) == []
    assert collector.paths == {"/v1/traces"}
