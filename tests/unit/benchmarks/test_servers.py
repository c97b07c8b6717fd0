"""Where a test's server listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from benchmarks import servers

_GIVEN_TO_CALLERS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_no_outgoing_connection_is_given_a_server_s_port() -> None:
    first, last = map(int, _GIVEN_TO_CALLERS.read_text().split()) if _GIVEN_TO_CALLERS.exists() else (32768, 60999)
    ports = {servers.free_port() for _ in range(50)}
    assert len(ports) > 40, "two processes that ask at once must hardly ever get the same"
    assert not [port for port in ports if first <= port <= last]


def test_a_port_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", servers.free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(servers, "_PORTS", range(port, port + 2))
        assert servers.free_port() == port + 1
