"""Containers by podman or docker, as a cluster would run them: read-only, without capabilities, as nobody."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.servers import free_port
from tests.deploy.stack import podman_environment
from tests.deploy.tools import ROOT, tool

MEMORY = "512m"
READY_SECONDS = 10  # within which a container must be ready; it is given longer, so that the figure is seen
PATIENCE = 60.0


@dataclass(frozen=True)
class Engine:
    """A program that builds and runs containers, and what it is told by its environment."""

    program: str
    environment: Mapping[str, str]

    @classmethod
    def here(cls, folder: Path) -> Engine:
        """podman, or what CONTAINERS names; skips where it cannot be used. folder: for podman's configuration."""
        program = os.environ.get("CONTAINERS") or "podman"
        if program == "podman":
            own = podman_environment(folder)
        else:
            tool(program)
            own = dict(os.environ)
        return cls(program, {**own, "CONTAINERS": program})

    def __call__(self, *words: str | Path, fails: bool = False) -> str:
        """What a command prints. fails: whether it may."""
        done = self.run([self.program, *words])
        told = f"{self.program} {' '.join(map(str, words))}: {done.stdout[-1000:]}{done.stderr}"
        assert fails or done.returncode == 0, told
        return done.stdout.strip()

    def run(self, command: list[str | Path]) -> subprocess.CompletedProcess[str]:
        """Any program that uses the engine, in the repository."""
        return subprocess.run(
            command, cwd=ROOT, env=dict(self.environment), capture_output=True, text=True, check=False
        )

    def inspect(self, image: str) -> dict[str, Any]:
        (found,) = json.loads(self("image", "inspect", image))
        return dict(found)

    def megabytes(self, image: str) -> float:
        """All layers of an image, uncompressed."""
        return float(self.inspect(image)["Size"]) / 1e6

    def once(self, image: str, *words: str, user: str, mounts: tuple[Path, ...] = (), entrypoint: str = "") -> str:
        """Run a command in a container of its own, to its end; what it prints."""
        options = [*_confined(user, mounts), *(["--entrypoint", entrypoint] if entrypoint else [])]
        return self("run", "--rm", *options, image, *words)

    @contextlib.contextmanager
    def serving(
        self, image: str, *, user: str, mounts: tuple[Path, ...] = (), **environment: str
    ) -> Iterator[Container]:
        """A container of the service, once it is ready; and gone afterwards."""
        port = str(free_port())
        name = f"test-{uuid.uuid4().hex[:12]}"
        # They share the host's network: each has a port of its own there, and lets anybody in. Nothing but /tmp can be
        # written, and the memory is enough for one runner.
        own = {"BENTOML_PORT": port, "BENTOML_HOME": "/tmp/bentoml", "FORECAST_RUNNER_WORKERS": "1"}
        environment = own | {"FORECAST_ALLOW_ANONYMOUS": "true"} | environment
        options = [word for pair in environment.items() for word in ("--env", "=".join(pair))]
        idle = os.getloadavg()[0] < (os.cpu_count() or 1)
        began = time.monotonic()
        self("run", "--detach", "--name", name, *_confined(user, mounts), "--memory", MEMORY, *options, image)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
                while not is_ready(client):
                    state = self("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name)
                    waited = time.monotonic() - began
                    assert state.startswith("running"), f"the container ended: {state}"
                    assert waited < PATIENCE, f"not ready within {PATIENCE:g} s"
                    time.sleep(0.05)
                yield Container(self, name, client, time.monotonic() - began, idle)
        except Exception as error:
            error.add_note(f"The end of the container's log:\n{self.log(name)[-2000:]}")
            raise
        finally:
            self("kill", name, fails=True)
            self("rm", "--force", name, fails=True)

    def log(self, container: str) -> str:
        done = self.run([self.program, "logs", container])
        return done.stdout + done.stderr


@dataclass(frozen=True)
class Container:
    """A running service.

    ready: the seconds from `run` to its first 200 on /readyz. idle: whether the machine was, before; else they
    say little.
    """

    engine: Engine
    name: str
    http: httpx.Client
    ready: float
    idle: bool

    def forecast(self, **body: Any) -> httpx.Response:
        return self.http.post("/forecast", json=body)

    def stop(self) -> tuple[int, float]:
        """SIGTERM: the exit code and the seconds that it took."""
        began = time.monotonic()
        self.engine("stop", "--time", "30", self.name)
        seconds = time.monotonic() - began
        return int(self.engine("inspect", "--format", "{{.State.ExitCode}}", self.name)), seconds

    def log(self) -> str:
        return self.engine.log(self.name)


def _confined(user: str, mounts: tuple[Path, ...]) -> list[str]:
    """What every container of these tests is denied; folders are mounted where they are."""
    words = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    words += ["--user", user, "--network", "host"]
    return [*words, *(word for path in mounts for word in ("--volume", f"{path}:{path}"))]


def is_ready(client: httpx.Client) -> bool:
    """Whether a service answers so on /readyz, or at all."""
    with contextlib.suppress(httpx.HTTPError):
        return client.get("/readyz").status_code == 200
    return False
