"""A host that serves segments of which every good version is known, as a container would: what the proofs are about."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import yaml

from forecasting.history import check_history
from forecasting.prophet_model import fit, to_json
from forecasting.spec import ProphetSpec
from registry.errors import RegistryError
from registry.log import JobLog
from registry.records import SegmentRecord
from registry.registry import Registry
from tests.e2e.conftest import serve
from tests.lacking import lacking
from tests.waiting import until

PERIODS = 14
SEGMENTS = [f"proof_{number}" for number in range(6)]
WORKERS = 3  # that speak HTTP: when the syncing one is killed, others are left
RUNNERS = 1
GOOD = (1, 2)  # versions of every segment

ROOT = Path(__file__).resolve().parents[2]
_DAYS = 90


@dataclass(frozen=True)
class Host:
    """One running service, its registry, and what it may answer. supervisor: the process above all others."""

    url: str
    log: Path
    registry: Registry
    snapshots: Path
    known: dict[str, dict[int, list[float]]]
    supervisor: psutil.Process

    @cached_property
    def http(self) -> httpx.Client:
        """Asks any worker, a new connection a request: the one that answered before may be gone."""
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, headers={"Connection": "close"})

    def health(self) -> dict[str, Any]:
        """What one of its workers says, whichever."""
        return dict(self.http.get("/health").json())

    def says(self, words: str) -> bool:
        """Whether /health has a problem with these words."""
        return any(words in problem for problem in self.health()["problems"])

    def metric(self, name: str) -> float:
        """A gauge of /metrics, of all kinds together."""
        text = self.http.get("/metrics").text
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    def version(self, segment: str) -> int:
        """Which one is served."""
        answer = self.http.post("/forecast", json={"model_id": segment, "periods": 1})
        return int(answer.json()["model"]["version"])

    def promote(self, segment: str, version: int) -> float:
        """Move the alias, and wait until every worker serves the version; how many seconds that took."""
        self.registry.promote(segment, version)
        return until(lambda: self.serves(segment, version), f"{segment} version {version} served")

    def roll_back(self, segment: str) -> float:
        """As promote, back to the one before."""
        back_to = self.registry.rollback(segment).version
        return until(lambda: self.serves(segment, back_to), f"{segment} back at {back_to}")

    def serves(self, segment: str, version: int) -> bool:
        """Whether every worker does: one answers so, and all have that snapshot mapped."""
        return self.version(segment) == version and self.is_settled()

    def is_settled(self) -> bool:
        """Whether every worker has the newest snapshot mapped."""
        (newest,) = self.snapshots.glob("*.snapshot")
        return all(f" {newest.stat().st_ino} " in _maps(worker) for worker in self.workers())

    def is_healthy(self) -> bool:
        """Whether all is well, as every worker knows."""
        return self.is_settled() and self.health()["status"] == "healthy"

    def workers(self) -> list[psutil.Process]:
        """Those that speak HTTP."""
        return workers_of(self.supervisor, "ForecastService")

    def runners(self) -> list[psutil.Process]:
        """Those that fit."""
        return workers_of(self.supervisor, "ProphetRunner")

    def is_whole(self) -> bool:
        """Whether every process is there, each worker has the catalog mapped, and they are ready, a runner included."""
        workers, runners = self.workers(), self.runners()
        all_there = len(workers) == WORKERS and len(runners) == RUNNERS
        return all_there and self.is_settled() and self.is_ready() and self.fits()

    def fits(self) -> bool:
        """Whether a runner takes a history that nobody has sent before."""
        rows = [{"ds": "2024-01-01", "y": 1.0}, {"ds": "2024-01-02", "y": time.time()}]
        with contextlib.suppress(httpx.HTTPError):
            body = {"model_id": "a runner?", "periods": 1, "data": rows}
            return self.http.post("/forecast", json=body, timeout=5).status_code == 200
        return False

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self.http.get("/readyz", timeout=5).status_code == 200
        return False

    def syncer(self) -> psutil.Process | None:
        """The worker that holds the lock beside the snapshot, as the kernel knows it."""
        inodes = {path.stat().st_ino for path in self.snapshots.glob("*.lock")}
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "FLOCK" and int(words[5].split(":")[2]) in inodes and words[2] == "ADVISORY":
                return psutil.Process(int(words[4]))
        return None


@contextlib.contextmanager
def host(
    store: str, folder: Path, snapshots: Path, segments: Sequence[str] = SEGMENTS, **environment: str
) -> Iterator[Host]:
    """A host for the length of a with block, on a store that gets two good versions of each segment, the first live."""
    registry = Registry(store)
    known = register(registry, segments)
    environment = {
        "BENTOML_CONTAINERIZED": "true",  # as BentoML's own images say
        "BENTOML_CONFIG_OPTIONS": f"services.ForecastService.workers={WORKERS}",
        "FORECAST_RUNNER_WORKERS": str(RUNNERS),
        "FORECAST_SNAPSHOT_DIR": str(snapshots),
        **environment,
    }
    with serve(store, folder, **environment) as service:
        url = str(service.http.base_url).rstrip("/")
        running = Host(url, service.log, registry, snapshots, known, supervisor_of(url))
        until(running.is_whole, lambda: f"a whole service:\n{service.log.read_text()[-2000:]}")
        until(lambda: running.health()["catalog"]["segments"] == len(segments), "all segments")
        yield running


def supervisor_of(url: str) -> psutil.Process:
    """The process that this one started to serve at url."""
    port = url.rpartition(":")[2]
    (found,) = (child for child in psutil.Process().children() if port in child.cmdline())
    return found


def workers_of(supervisor: psutil.Process, service: str) -> list[psutil.Process]:
    """The living workers of one of its services."""
    found = []
    for child in supervisor.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and service in child.cmdline():
                found.append(child)
    return found


def kill(process: psutil.Process) -> None:
    """With no chance to say good-bye."""
    process.send_signal(signal.SIGKILL)
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, f"the end of {process}")


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of that size, mounted on folder; skips where mounting is not allowed, which CI does not take."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)]
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lacking(f"a disk cannot be filled here, because none can be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """A disk without a free byte, for the length of a with block."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
    try:
        yield
    finally:
        ballast.unlink()


def _maps(worker: psutil.Process) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{worker.pid}/maps").read_text()
    return ""


def spoil(host: Host, segment: str, how: Callable[[Path], None]) -> int:
    """Register one more version of a segment, whose files are then spoiled; not promoted yet."""
    (version,) = _log(host.registry, [_record(segment, 9)])
    how(Path(host.registry.location(version).removeprefix("file://")))
    return version.version


def flip_bytes(files: Path) -> None:
    """A block of the model turned over, as on a bad disk."""
    model = bytearray((files / "model.pr").read_bytes())
    middle = slice(len(model) // 2, len(model) // 2 + 64)
    model[middle] = bytes(255 - byte for byte in model[middle])
    (files / "model.pr").write_bytes(model)


def bring_code(files: Path) -> None:
    """Python code beside the model, which MLflow would put on the path and import."""
    (files / "code").mkdir()
    (files / "code" / "sitecustomize.py").write_text("raise SystemExit('code of an artifact was run')\n")
    described = yaml.safe_load((files / "MLmodel").read_text())
    for flavor in described["flavors"].values():
        flavor["code"] = "code"
    (files / "MLmodel").write_text(yaml.safe_dump(described))


def lose_parameters(files: Path) -> None:
    """A fit that did not converge: its growth rate is not a number."""
    model = json.loads(json.loads((files / "model.pr").read_text()))
    model["params"]["k"] = [[float("nan")]]
    (files / "model.pr").write_text(json.dumps(json.dumps(model)))


def register(registry: Registry, segments: Sequence[str]) -> dict[str, dict[int, list[float]]]:
    """Two versions of each segment, the first of them champion; what Prophet itself makes of each."""
    for version in GOOD:
        _log(registry, [_record(segment, version, promote=version == 1) for segment in segments])
    return {segment: {version: list(_fitted(segment, version)[1]) for version in GOOD} for segment in segments}


def _log(registry: Registry, records: list[SegmentRecord]) -> list[Any]:
    with JobLog(registry, "proof", {}) as job:
        versions = job.writer.write(records)
    for version in versions:
        assert not isinstance(version, RegistryError), version
    return versions


def _record(segment: str, version: int, *, promote: bool = False) -> SegmentRecord:
    return SegmentRecord(
        segment=segment,
        model_json=_fitted(segment, version)[0],
        inputs=(),
        params={},
        metrics={},
        tags={"forecast.freq": "D"},
        promote=promote,
    )


@cache
def _fitted(segment: str, version: int) -> tuple[str, tuple[float, ...]]:
    """A Prophet whose forecasts are nobody else's, as JSON, and those forecasts by Prophet's own code."""
    number, day = SEGMENTS.index(segment), np.arange(_DAYS)
    noise = np.random.default_rng(10 * number + version).normal(0, 1, _DAYS)
    y = 100.0 * (number + 1) + version * (7 + day) + 5 * np.sin(2 * np.pi * day / 7) + noise
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=_DAYS), "y": y})
    prophet = fit(check_history(frame), ProphetSpec())
    text = to_json(prophet)
    prophet.uncertainty_samples = 0
    future = prophet.make_future_dataframe(PERIODS, include_history=False)
    return text, tuple(prophet.predict(future)["yhat"])
