"""Replicas are replaced one after the other behind a proxy, under load, and no request fails.

What Kubernetes does to a Deployment, done by hand to processes: a new replica starts and says /readyz, the proxy stops
sending to an old one, what that one was sent is answered, then it gets SIGTERM. The proxy asks nobody twice.
"""

from __future__ import annotations

import contextlib
import csv
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from benchmarks.servers import free_port, serving
from registry.registry import Registry
from tests.deploy.tools import tool
from tests.e2e.conftest import SERVE
from tests.e2e.host import PERIODS, SEGMENTS, register, supervisor_of
from tests.e2e.load import load
from tests.waiting import say, until

pytestmark = pytest.mark.deploy

SLOTS = ("first", "second", "third", "fourth")  # the last two take the places of the others

PAUSE = 0.1  # seconds; with less a new replica starts for as long as the load leaves it no CPU

# No second tries: what a replica drops, the load sees.
CONFIG = """
global
    stats socket {socket} mode 600 level admin
defaults
    mode http
    retries 0
    timeout connect 10s
    timeout client 90s
    timeout server 90s
frontend front
    bind "127.0.0.1:${{PORT}}"
    monitor-uri /proxy
    default_backend replicas
backend replicas
    balance roundrobin
    option httpchk GET /readyz
    default-server check inter 500ms fall 2 rise 1
{servers}
"""


@dataclass(frozen=True)
class Proxy:
    """haproxy, and its own socket for operators."""

    url: str
    socket: Path

    def tell(self, command: str) -> str:
        """One command; what it answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(f"{command}\n".encode())
            with connection.makefile(encoding="utf-8") as answer:
                return answer.read().strip()

    def point(self, slot: str, port: int) -> None:
        """Let a slot be the replica at this port."""
        self.tell(f"set server replicas/{slot} addr 127.0.0.1 port {port}")
        assert self.look(slot)["addr"] == f"127.0.0.1:{port}"

    def look(self, slot: str) -> dict[str, str]:
        """How it sees a replica."""
        rows = csv.DictReader(self.tell("show stat").removeprefix("# ").splitlines())
        (found,) = (row for row in rows if (row["pxname"], row["svname"]) == ("replicas", slot))
        return found

    def drain(self, slot: str) -> None:
        """Send a replica nothing more, and wait until it has answered."""
        self.tell(f"set server replicas/{slot} state drain")
        until(lambda: self.look(slot)["scur"] == "0", lambda: f"the end of what {slot} was sent: {self.look(slot)}")


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """haproxy before slots without replicas."""
    program = tool("haproxy", beside="/usr/sbin")
    operators = tmp_path / "haproxy.socket"
    nobody = free_port()
    servers = "\n".join(f"    server {slot} 127.0.0.1:{nobody}" for slot in SLOTS)
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG.format(socket=operators, servers=servers))
    command = ["sh", "-c", f"PORT={{port}} exec {program} -db -f {config}"]
    with serving(command, ready="/proxy", log_to=tmp_path / "haproxy.log") as url:
        running = Proxy(url, operators)
        for slot in SLOTS:
            until(lambda slot=slot: running.look(slot)["status"].startswith("DOWN"), f"nobody at {slot}")
        yield running


def test_a_rolling_replacement_loses_no_request(store: str, proxy: Proxy, tmp_path: Path) -> None:
    """Two replicas replaced, with a promotion after each; then one is told to end too early, which does lose some."""
    registry = Registry(store)
    known = register(registry, SEGMENTS)
    with contextlib.ExitStack() as running:

        def start(slot: str) -> psutil.Process:
            """A new replica, once the proxy has seen that it is ready; the process above its others."""
            port = free_port()
            proxy.point(slot, port)
            folder = tmp_path / slot
            folder.mkdir()
            env = {
                "MLFLOW_TRACKING_URI": store,
                "FORECAST_SNAPSHOT_DIR": str(folder / "catalog"),
                "FORECAST_RUNNER_WORKERS": "1",
                "FORECAST_TIMEOUT_SECONDS": "60",  # a busy machine is slow, and that is not what this is about
                "BENTOML_HOME": str(folder / "bentoml"),
            }
            url = running.enter_context(serving(SERVE, ready="/livez", env=env, port=port, log_to=folder / "log"))
            until(lambda: proxy.look(slot)["status"] == "UP", lambda: f"{slot} ready: {(folder / 'log').read_text()}")
            return supervisor_of(url)

        replicas = {slot: start(slot) for slot in SLOTS[:2]}
        with load(proxy.url, known, tmp_path, periods=PERIODS, pause=PAUSE) as callers:
            for segment, old, new in zip(SEGMENTS, SLOTS[:2], SLOTS[2:], strict=False):
                callers.go_on()
                replicas[new] = start(new)
                callers.go_on()
                proxy.drain(old)
                replicas[old].send_signal(signal.SIGTERM)
                assert replicas.pop(old).wait(60) == 0
                registry.promote(segment, 2)
                until(lambda promoted=f"{segment} 2": promoted in callers.report().served, f"{segment} version 2")
            callers.go_on()
        report = callers.report()
        assert (report.failed, report.dropped, report.refused, report.gone) == (0, 0, 0, 0), "\n".join(report.failures)
        answered = {slot: int(proxy.look(slot)["hrsp_2xx"]) for slot in SLOTS}
        assert all(answered.values()), answered
        say(f"two replicas replaced under load: {report.answers:,} answers, none failed; by replica {answered}")

        # The same without draining first: the proxy goes on to send for as long as it takes to notice.
        with load(proxy.url, known, tmp_path, periods=PERIODS, pause=PAUSE, inline=0) as callers:
            callers.go_on()
            replicas[SLOTS[2]].send_signal(signal.SIGTERM)
            until(lambda: proxy.look(SLOTS[2])["status"].startswith("DOWN"), "the proxy to notice")
        report = callers.report()
        assert report.failed > 0
        say(f"one replica ended without draining: {report.failed} of {report.answers + report.failed:,} failed")
