"""A service that is told to stop ends, whenever that is: with answers for those who wait, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pandas as pd
import psutil
import pytest

from benchmarks.servers import free_port
from tests.e2e.conftest import SERVE
from tests.e2e.host import PERIODS, ROOT, Host, host
from tests.e2e.load import CONNECTIONS, load
from tests.waiting import say, until

LONG = pytest.mark.slow
_HISTORIES, _ROWS = 12, 20_000  # a runner has work with them when the signal comes
_MARK = "FORECAST_SNAPSHOT_DIR"  # by which the processes of one service are known


def test_what_is_under_way_is_answered(store: str, tmp_path: Path) -> None:
    """Under load: histories at the runner are fitted, answers are whole, a caller that stalls cannot keep it alive."""
    with host(store, tmp_path, tmp_path / "catalog") as served:
        supervisor = served.supervisor
        with load(served.url, served.known, tmp_path, periods=PERIODS, inline=0) as callers, _stalled(served.url):
            with ThreadPoolExecutor(_HISTORIES) as pool:
                answers = [pool.submit(_fit, served.url, number) for number in range(_HISTORIES)]
                until(lambda: _histories_under_way(served) >= 2, "histories on their way")
                under_way = _histories_under_way(served)
                supervisor.send_signal(signal.SIGTERM)
                told = time.monotonic()
                statuses = [answer.result() for answer in answers]
            code = supervisor.wait(60)
            took = time.monotonic() - told
        report = callers.report()
        assert code == 0
        assert statuses.count(200) >= under_way
        assert set(statuses) <= {200, None}, statuses
        # The kernel takes connections for a socket that is about to close: who asked again on one was read by nobody.
        unread = sum(": a second time" in failure for failure in report.failures)
        assert (report.failed - unread, report.gone) == (0, CONNECTIONS), "\n".join(report.failures)
        assert _family(tmp_path / "catalog") == []
    say(f"ended {took:.1f} s after SIGTERM, with a caller that stalled; {report.answers:,} answers before, ")
    say(f"{report.dropped} connections broke before they were read from; of {under_way:g} histories none was lost")


def _histories_under_way(served: Host) -> float:
    return served.metric("forecast_runner_queue") + served.metric("forecast_runner_requests")


def _fit(url: str, number: int) -> int | None:
    """The status of an answer; None where the connection broke, as it does for those that nobody has read from."""
    dates = pd.date_range("1970-01-01", periods=_ROWS).strftime("%Y-%m-%d")
    chance = random.Random(number)
    rows = [{"ds": day, "y": chance.gauss(100, 10)} for day in dates]
    body = {"model_id": "inline", "periods": 5, "data": rows}
    try:
        return httpx.post(f"{url}/forecast", json=body, timeout=60, trust_env=False).status_code
    except httpx.TransportError:
        return None


@contextlib.contextmanager
def _stalled(url: str) -> Iterator[None]:
    """A caller that announces a body and sends half of it."""
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /forecast HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        yield


def _has_children(process: psutil.Process, _: Path) -> bool:
    return bool(process.children())


def _has_all_children(process: psutil.Process, _: Path) -> bool:
    return len(process.children()) == 3


def _has_a_worker(_: psutil.Process, log: Path) -> bool:
    return "Service ForecastService initialized" in log.read_text()


@pytest.mark.parametrize("moment", [_has_children, _has_all_children, _has_a_worker])
def test_a_start_can_be_stopped(store: str, tmp_path: Path, moment: Callable[[psutil.Process, Path], bool]) -> None:
    """At the moments of its start when circus forgot a signal, or a worker had not heard it yet."""
    _stop_when(store, tmp_path, lambda process, log: until(lambda: moment(process, log), "the moment"))


@LONG
def test_a_start_can_be_stopped_at_any_moment(store: str, tmp_path: Path) -> None:
    """Forty of them, by chance."""
    chance, took = random.Random(5), []
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        took.append(_stop_when(store, folder, lambda *_: time.sleep(chance.uniform(0, 8))))
    say(f"40 starts stopped, after {sorted(took)[20]:.1f} s, the slowest after {max(took):.1f} s")


def _stop_when(store: str, folder: Path, wait: Callable[[psutil.Process, Path], object]) -> float:
    """Start a service, wait, stop it; how many seconds the end took, which leaves no process."""
    command = [word.replace("{port}", str(free_port())) for word in SERVE]
    log, snapshots = folder / "log", folder / "catalog"
    environment = {
        "BENTOML_CONFIG_OPTIONS": "services.ForecastService.workers=2",
        "BENTOML_DO_NOT_TRACK": "true",
        "FORECAST_RUNNER_WORKERS": "1",
        "MLFLOW_TRACKING_URI": store,
        _MARK: str(snapshots),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        wait(psutil.Process(process.pid), log)
        process.terminate()
        told = time.monotonic()
        until(lambda: process.poll() is not None, lambda: f"the end; the log has\n{log.read_text()[-2000:]}")
        took = time.monotonic() - told
        assert process.returncode in (0, -signal.SIGTERM)  # the latter before it has anything to end
        assert _family(snapshots) == []
    finally:
        for member in _family(snapshots):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()
    return took


def _family(snapshots: Path) -> list[psutil.Process]:
    """All processes of the service whose snapshots lie there, children of its workers too."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_MARK) == str(snapshots) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
