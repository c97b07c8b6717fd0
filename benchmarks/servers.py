"""Start a server on a free loopback port, wait until it answers, and always stop all of its processes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
# Above what known services listen on, below what Linux (32768) and other systems (49152) give to outgoing connections.
_PORTS = range(20_000, 32_000)
_TRIES = 100  # of them; to shuffle them all takes longer than to try one
_LOG_TAIL = 2_000  # characters of the log that a failure shows
# No server calls home during a measurement, BentoML keeps respawning its workers as it does on a host, MLflow starts no
# evaluators of language models: eight processes that take a minute or two of processor time to start.
_QUIET = {
    "BENTOML_DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}
_UNWANTED = ("BENTOML_CONTAINERIZED",)


class ServerFailed(Exception):
    """A server ended early or did not get ready; the message has the end of its log."""


@contextlib.contextmanager
def serving(
    command: Sequence[str],
    *,
    ready: str,
    env: Mapping[str, str] | None = None,
    patience: float = 240.0,
    grace: float = 10.0,
    cwd: Path = ROOT,
    log_to: Path | None = None,
    port: int | None = None,
) -> Iterator[str]:
    """Run a server for the length of a with block and give its base URL.

    command: its words; `{port}` in a word becomes the port. ready: the path that answers 200 when the
    server is ready, waited for up to `patience` seconds. env is added to this process's environment. At the
    end the process group is asked to stop, and what is left of it after `grace` seconds is killed.
    port: the one to listen on; else one that is free.
    Raises ServerFailed with the end of the log; an error of the block gets that end as a note.
    """
    port = port or free_port()
    words = [word.replace("{port}", str(port)) for word in command]
    environment = {key: value for key, value in os.environ.items() if key not in _UNWANTED} | _QUIET | dict(env or {})
    with tempfile.TemporaryFile() if log_to is None else log_to.open("w+b") as log:
        process = subprocess.Popen(
            words, cwd=cwd, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(process, url + ready, patience, log)
            yield url
        except Exception as error:
            if not isinstance(error, ServerFailed):
                error.add_note(f"The end of the server's log:\n{_tail(log)}")
            raise
        finally:
            _stop(process, grace)


def free_port() -> int:
    """A loopback port that was free just now, and that nobody is given by chance until a server has it.

    Not one of the system's own choice (a bind to port 0): those are of the range that every outgoing connection takes
    its port from, so that under load one is taken again before a server has started.
    """
    for port in random.SystemRandom().sample(_PORTS, min(_TRIES, len(_PORTS))):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerFailed(f"none of {_TRIES} ports of {_PORTS.start} to {_PORTS.stop - 1} is free")


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, patience: float, log: IO[bytes]) -> None:
    """Ask until the answer is 200."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerFailed(f"the server ended with {process.returncode} before it was ready:\n{_tail(log)}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5.0, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    raise ServerFailed(f"the server was not ready within {patience:g} s:\n{_tail(log)}")


def _tail(log: IO[bytes]) -> str:
    """The end of what the server wrote."""
    log.seek(0)
    return log.read().decode(errors="replace")[-_LOG_TAIL:]


def _stop(process: subprocess.Popen[bytes], grace: float) -> None:
    """Ask the group to stop, then kill what is left: workers too that moved to a session of their own."""
    family = _descendants(process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()  # psutil checks that the id was not given to somebody else
    process.wait()


def _descendants(pid: int) -> list[psutil.Process]:
    """All processes below this one, noted before they lose their parent."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
