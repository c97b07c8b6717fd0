"""The compose stack on this machine, as `make up` starts it, and its containers one by one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from registry.registry import Registry
from tests.deploy.tools import ROOT, tool
from tests.lacking import lacking
from tests.waiting import until

FILES = [ROOT / "deploy" / "compose.yaml", ROOT / "deploy" / "compose.host.yaml"]
PROGRAMS = ROOT / ".venv" / "compose" / "bin"  # requirements/compose.txt
PROJECT = "prophet-serving-test"
SERVERS = ("postgres", "store", "mlflow", "forecast", "prometheus")
MLFLOW, FORECAST, PROMETHEUS = "http://127.0.5.3:5000", "http://127.0.5.4:3000", "http://127.0.5.5:9090"

# How podman runs containers where there is neither systemd nor a network of their own.
CONTAINERS_CONF = """[containers]
netns = "host"
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@dataclass(frozen=True)
class Stack:
    """The running stack. http: asks the service with the API key that `make up` made. told: what `make up` said."""

    environment: Mapping[str, str]
    secrets: Path
    told: str
    http: httpx.Client

    @property
    def registry(self) -> Registry:
        """As whoever is on this machine sees it, through MLflow's server."""
        return Registry(MLFLOW)

    def forecast(self, segment: str, periods: int = 14) -> Any:
        """The rows and the version that the service gives."""
        answer = self.http.post("/forecast", json={"model_id": segment, "periods": periods})
        answer.raise_for_status()
        return answer.json()["forecast"], answer.json()["model"]["version"]

    def segments(self) -> list[str]:
        """What the service says that it serves."""
        return [model["model_id"] for model in self.http.get("/models").raise_for_status().json()["models"]]

    def prophetctl(self, *words: str) -> str:
        """A command of the trainer's container."""
        return self.compose("--profile", "jobs", "run", "--rm", "-T", "--no-deps", "train", *words)

    def compose(self, *words: str) -> str:
        return run([str(ROOT / "deploy" / "stack" / "compose"), *words], self.environment)

    def podman(self, *words: str) -> str:
        return run(["podman", *words], self.environment)

    def inspect(self, service: str) -> dict[str, Any]:
        """What podman knows of a service's container."""
        return dict(json.loads(self.podman("inspect", container(service)))[0])

    def kill(self, service: str) -> None:
        """With no chance to say good-bye."""
        self.podman("kill", "--signal", "KILL", container(service))

    def start(self, service: str) -> float:
        """Start it, and wait until its own health check is content; how many seconds that took."""
        self.podman("start", container(service))
        return until(lambda: self.is_healthy(service), f"a healthy {service}", 120)

    def is_healthy(self, service: str) -> bool:
        """Its health check, run by hand: podman without systemd runs none."""
        command = ["podman", "healthcheck", "run", container(service)]
        return subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode == 0


def container(service: str) -> str:
    return f"{PROJECT}_{service}_1"


@contextlib.contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """What `make up` makes, for the length of a with block; nothing is left of it but its images."""
    environment = podman_environment(folder) | {
        "CONTAINERS": "podman",
        "COMPOSE_FILE": os.pathsep.join(map(str, FILES)),
        "COMPOSE_PROJECT_NAME": PROJECT,
        "FORECAST_URL": FORECAST,
        "PYTHON": sys.executable,
        "SECRETS": str(folder / "secrets"),
        "HISTORY": str(folder / "history"),
    }
    if not (PROGRAMS / "podman-compose").exists():
        lacking("no podman-compose here: make test-deploy")
    try:
        told = run([str(ROOT / "deploy" / "stack" / "up.sh")], environment)
        key = (folder / "secrets" / "api_key").read_text()
        with httpx.Client(base_url=FORECAST, headers={"X-API-Key": key}, timeout=60, trust_env=False) as http:
            yield Stack(environment, folder / "secrets", told, http)
    finally:
        run([str(ROOT / "deploy" / "stack" / "compose"), "down", "--volumes"], environment)


def podman_environment(folder: Path) -> dict[str, str]:
    """The environment in which podman runs containers here; skips where it cannot."""
    tool("podman")
    if os.geteuid() != 0:
        lacking("podman is run as root here")
    config = folder / "containers.conf"
    config.write_text(CONTAINERS_CONF)
    path = os.pathsep.join([str(PROGRAMS), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "CONTAINERS_CONF": os.environ.get("CONTAINERS_CONF", str(config))}
    environment.pop("MLFLOW_TRACKING_URI", None)
    # In OCI's own form, podman's default, images have no health check; and in one form they share their layers.
    return environment | {"BUILDAH_FORMAT": "docker"}


def docker_compose() -> list[str]:
    """Docker's own compose, which needs no engine to read files."""
    if found := shutil.which("docker-compose", path=os.pathsep.join([str(PROGRAMS), os.environ["PATH"]])):
        return [found]
    plugin = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode:
        lacking("no docker compose here: make test-deploy")
    return plugin


def run(command: list[str], environment: Mapping[str, str]) -> str:
    """What it says; where it fails, all of it."""
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout
