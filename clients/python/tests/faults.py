"""A real HTTP server that answers as a test tells it, one behaviour a request, and keeps what it was asked."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Seen:
    """One request; at: seconds on one clock for all of them."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class FaultServer:
    """Where it listens, what it was asked, and what tells the silent ones that the test is over."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    faults: FaultServer
    script: Sequence[Callable[[Handler], None]]
    lock: threading.Lock
    asked: Seen

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.asked = Seen(self.command, self.path, headers, body, time.monotonic())
        with self.lock:
            place = len(self.faults.seen)
            self.faults.seen.append(self.asked)
        behave = self.script[place] if place < len(self.script) else text("", "text/plain", 418)
        behave(self)

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


Behaviour = Callable[[Handler], None]


@contextlib.contextmanager
def serving(*script: Behaviour) -> Iterator[FaultServer]:
    """Serve for the length of a with block; requests beyond the script get 418, which no test expects."""
    own = type("Handler", (Handler,), {"script": script, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), own)
    server.daemon_threads = True
    faults = own.faults = FaultServer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield faults
    finally:
        faults.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def text(body: str, kind: str, status: int = 200, **headers: str) -> Behaviour:
    """A whole answer; retry_after=... becomes Retry-After."""

    def behave(handler: Handler) -> None:
        data = body.encode()
        handler.send_response_only(status)
        sent = {"content-type": kind, "content-length": str(len(data))}
        for name, value in {**sent, **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return behave


def answer(body: Any, **headers: str) -> Behaviour:
    """A success in JSON."""
    return text(json.dumps(body), "application/json", **headers)


def problem(status: int, code: str, errors: list[dict[str, str]] | None = None, **headers: str) -> Behaviour:
    """An error as the service writes it."""
    body = {"title": code, "status": status, "detail": f"why {code}", "code": code, "errors": errors or []}
    return text(json.dumps(body), "application/problem+json", status, **headers)


def reset(handler: Handler) -> None:
    """The connection is reset before anything is answered."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    _end(handler)


def silence(handler: Handler) -> None:
    """Nothing is ever answered."""
    handler.faults.over.wait()
    _end(handler)


def stalled(handler: Handler) -> None:
    """Half of a body, and then nothing more."""
    _half(handler)
    silence(handler)


def trickling(handler: Handler) -> None:
    """A body that comes in bytes, each sooner than any timeout, for as long as anybody reads."""
    _half(handler)
    with contextlib.suppress(OSError):
        while not handler.faults.over.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()
    _end(handler)


def cut_off(handler: Handler) -> None:
    """Half of a body whose length was told, and then the end of the connection."""
    _half(handler)
    _end(handler)


def _half(handler: Handler) -> None:
    handler.send_response_only(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "100000")
    handler.end_headers()
    handler.wfile.write(b'{"forecast": [')
    handler.wfile.flush()


def _end(handler: Handler) -> None:
    handler.close_connection = True
    handler.rfile.close()
    handler.connection.close()
