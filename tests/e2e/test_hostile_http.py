"""What is hardly HTTP, or too much or too slow of it, byte by byte at the real `bentoml serve`."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Service

BODY = b'{"model_id":"nobody"}'
POST = b"POST /forecast HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
GET = b"GET /models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n15\r\n" + BODY + b"\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


@contextlib.contextmanager
def _connected(service: Service, limit: float = 60) -> Iterator[socket.socket]:
    url = service.http.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=limit) as connection:
        yield connection


def _to_the_end(connection: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            answer += piece
    return answer


def _statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answer)]


CASES: list[tuple[str, bytes, list[int]]] = [
    ("a body without a length", POST + b"\r\n" + BODY, [400]),
    ("a chunked body", CHUNKED + b"0\r\n\r\n", [404]),
    ("a chunk of no length", POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", [400]),
    ("a trailer", CHUNKED + b"0\r\nX-Trailer: a\r\n\r\n", [404]),
    ("both a length and chunks", CHUNKED.replace(b"Transfer", b"Content-Length: 3\r\nTransfer") + b"0\r\n\r\n", [400]),
    ("two lengths", POST + b"Content-Length: 3\r\n" + LENGTH + b"\r\n" + BODY, [400]),
    ("a negative length", POST + b"Content-Length: -1\r\n\r\n", [400]),
    ("a length beyond numbers", POST + b"Content-Length: 99999999999999999999999\r\n\r\n", [400]),
    ("a length beyond the limit", POST + b"Content-Length: 99999999999\r\n\r\n", [413]),
    ("a body in gzip", POST + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", [400]),
    ("a caller who asks first", POST + b"Expect: 100-continue\r\n" + LENGTH + b"\r\n" + BODY, [100, 404]),
    (
        "requests in a row",
        (POST.replace(b"close", b"keep-alive") + LENGTH + b"\r\n" + BODY) * 2 + GET + b"\r\n",
        [404, 404, 200],
    ),
    ("a NUL in a header", GET + b"X-A: a\0b\r\n\r\n", [400]),
    ("no text in a header", GET + b"X-Request-Id: \xff\xfe\r\nAuthorization: Bearer \xff\r\n\r\n", [200]),
    ("a folded header", GET + b"X-A: a\r\n b\r\n\r\n", [400]),
    ("a NUL in a path", GET.replace(b"/models", b"/models/a%00b") + b"\r\n", [404]),
    ("a path that is not UTF-8", GET.replace(b"/models", b"/models/%ff%fe") + b"\r\n", [404]),
    ("a path that is not ASCII", GET.replace(b"/models", b"/models/\xff") + b"\r\n", [400]),
    ("a path of another host", GET.replace(b"/models", b"http://evil.example/models") + b"\r\n", [200]),
    ("two hosts", GET + b"Host: evil.example\r\n\r\n", [403]),
    ("a method that nobody knows", b"HELLO / HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]),
    ("a long path", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", [400]),
]


@pytest.mark.parametrize(("sent", "statuses"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_hardly_http_is_answered(service: Service, sent: bytes, statuses: list[int]) -> None:
    """By us with a problem, or by the server in a line of text; nothing hangs, and the next caller is served."""
    with _connected(service) as connection:
        connection.sendall(sent)
        answer = _to_the_end(connection)
    assert _statuses(answer) == statuses, answer[:500]
    assert b"Traceback" not in answer
    if len(statuses) == 1 and b"application/problem+json" in answer:
        assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["status"] == statuses[-1]
    assert service.http.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (GET + b"X-A: ", b"a" * 4096),
        (GET, b"X-A: a\r\n" * 512),
        (CHUNKED + b"0\r\nX-Trailer: ", b"a" * 4096),
        (CHUNKED + b"0\r\n", b"X-Trailer: a\r\n" * 300),
    ],
    ids=["one header", "many headers", "one trailer", "many trailers"],
)
def test_a_head_without_an_end_is_cut_off(service: Service, begin: bytes, piece: bytes) -> None:
    """Long before it costs memory: 50 MB of it are never taken."""
    sent = 0
    with _connected(service) as connection:
        connection.sendall(begin)
        with contextlib.suppress(ConnectionError):
            while sent < 50_000_000:
                connection.sendall(piece)
                sent += len(piece)
    assert sent < 20_000_000  # what the sockets' buffers hold, and not more
    assert service.http.get("/livez").status_code == 200


def test_who_is_too_slow_is_left(service: Service) -> None:
    """Who says nothing, who never ends his head, and who never ends his body, each a byte now and then."""
    begun = {"nothing": b"", "a head": GET + b"X-A: ", "a body": POST + b"Content-Length: 500\r\n\r\n"}
    with contextlib.ExitStack() as stack:
        connections = {name: stack.enter_context(_connected(service)) for name in begun}
        for name, connection in connections.items():
            connection.sendall(begun[name])
        ends: dict[str, bytes] = {}
        deadline = time.monotonic() + 60
        while len(ends) < len(begun):
            assert time.monotonic() < deadline, f"still there: {set(begun) - set(ends)}"
            for name in set(begun) - set(ends):
                connections[name].settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    ends[name] = _to_the_end(connections[name])
                    continue
                with contextlib.suppress(ConnectionError):
                    connections[name].sendall(b"a" if name != "nothing" else b"")
    assert {name: _statuses(end) for name, end in ends.items()} == {"nothing": [], "a head": [408], "a body": [408]}


def test_a_body_in_pieces_is_waited_for(service: Service) -> None:
    """Slowly, but not too slowly."""
    with _connected(service) as connection:
        for piece in (POST, LENGTH, b"\r\n", BODY[:5], BODY[5:]):
            connection.sendall(piece)
            time.sleep(0.3)
        assert _statuses(_to_the_end(connection)) == [404]
