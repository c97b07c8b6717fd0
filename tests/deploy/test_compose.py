"""The compose stack: what `make up` starts serves, follows promotions, and outlives the loss of any container."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.keys import read_keys
from tests.deploy.stack import FILES, FORECAST, PROMETHEUS, SERVERS, Stack, container, docker_compose, stack
from tests.deploy.tools import ROOT
from tests.lacking import lacking
from tests.waiting import say, until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(1500)]

SEGMENTS = [f"shop_{number:02d}" for number in range(1, 21)]  # of deploy/stack/example_history.py
AWAY = 3.0  # seconds that a killed container is left so


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What `make up` makes, with its images built here."""
    began = time.monotonic()
    with stack(tmp_path_factory.mktemp("stack")) as made:
        say(f"make up: {time.monotonic() - began:.0f} s, images included")
        yield made


def test_docker_compose_has_nothing_against_the_files() -> None:
    """Neither a fault nor a warning; each file by itself, and with the other on top."""
    for files in ([FILES[0]], FILES):
        words = [word for path in files for word in ("--file", str(path))]
        command = [*docker_compose(), *words, "--profile", "jobs", "config", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr


def test_hadolint_has_nothing_against_the_stacks_dockerfiles() -> None:
    """Not even a remark, but for Debian's packages, which come as Debian has them."""
    files = sorted((ROOT / "deploy" / "stack").glob("*.Dockerfile"))
    assert len(files) == 3
    hadolint = ROOT / ".venv" / "deploy" / "bin" / "hadolint"
    if not hadolint.exists():
        lacking("no hadolint here: make test-deploy")
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_secrets_are_random_and_made_once(tmp_path: Path) -> None:
    """The service reads the keys; a second run leaves them; the folder is its owner's alone."""
    command = [sys.executable, str(ROOT / "deploy" / "stack" / "make_secrets.py")]
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        subprocess.run([*command, str(folder)], check=True, capture_output=True)
    one, other = map(_contents, folders)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] == other[name]] == []
    subprocess.run([*command, str(folders[0])], check=True, capture_output=True)
    assert _contents(folders[0]) == one
    assert folders[0].stat().st_mode & 0o077 == 0
    keys = {key.name: key for key in read_keys(folders[0] / "forecast" / "keys.json")}
    now = datetime.now(UTC)
    assert {name: (key.segments, key.metrics, key.state(now)) for name, key in keys.items()} == {
        "backend": (("*",), False, "active"),
        "prometheus": ((), True, "active"),
    }


def test_make_up_ends_with_a_forecast(running: Stack) -> None:
    """Of one of the segments that it trained."""
    assert f"{FORECAST} serves {len(SEGMENTS)} segments" in running.told
    assert len(re.findall(r"^  2025-\d\d-\d\d.* {2,}\d+\.\d\d  \(", running.told, re.MULTILINE)) == 7, running.told
    assert running.segments() == SEGMENTS


def test_every_container_is_confined(running: Stack) -> None:
    """Read-only, no capabilities, nobody's root, a bound on memory, and no secret in what podman or docker shows."""
    secrets = _contents(running.secrets)
    for service in SERVERS:
        known = running.inspect(service)
        assert known["HostConfig"]["ReadonlyRootfs"] is True, service
        assert known["EffectiveCaps"] in (None, []), (service, known["EffectiveCaps"])
        assert int(known["Config"]["User"].split(":")[0]) > 0, service
        assert 0 < known["HostConfig"]["Memory"] <= 2**30, service
        shown = json.dumps(known)
        assert [name for name, text in secrets.items() if text.strip() in shown] == [], service
        assert running.is_healthy(service), service


def test_prometheus_scrapes_the_service(running: Stack) -> None:
    """By the configuration and the rules of deploy/prometheus, with the key of its own."""
    with httpx.Client(base_url=PROMETHEUS, timeout=30, trust_env=False) as prometheus:

        def ask(query: str) -> Any:
            return prometheus.get("/api/v1/query", params={"query": query}).raise_for_status().json()["data"]["result"]

        until(lambda: bool(ask('up{job="forecast"} == 1')), "a scrape")
        running.forecast(SEGMENTS[0])
        until(lambda: bool(ask('forecast_http_requests_total{route="/forecast", status="200"} > 0')), "our own metric")
        groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
        assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}


def test_the_artifacts_lie_in_the_store(running: Stack) -> None:
    """And the registry in PostgreSQL: of neither is anything in MLflow's own container."""
    names = running.podman("exec", container("postgres"), "psql", "--username", "mlflow", "--tuples-only", "--no-align",
                           "--command", "select name from registered_models order by name", "mlflow")  # fmt: skip
    assert names.split() == [f"forecast.{segment}" for segment in SEGMENTS]
    listing = (
        "import boto3, os; s3 = boto3.client('s3', endpoint_url=os.environ['MLFLOW_S3_ENDPOINT_URL']);"
        "pages = s3.get_paginator('list_objects_v2').paginate(Bucket='mlflow');"
        "print(*[kept['Key'] for page in pages for kept in page['Contents']], sep='\\n')"
    )
    keys = running.podman("exec", container("mlflow"), "python", "-c", listing).split()
    assert sum(key.endswith("/model.pr") for key in keys) == len(SEGMENTS)


def test_a_promotion_is_live(running: Stack) -> None:
    """A second job trains other models, which are not promoted; then one is, and taken back."""
    segment = SEGMENTS[3]
    first, version = running.forecast(segment)
    assert version == 1
    job = ["train", "--config", "/etc/forecast/job.yaml", "--recipe", "stock", "--growth", "flat", "--no-promote"]
    running.prophetctl(*job, "--segment", segment)
    running.prophetctl("promote", segment, "2")
    took = until(lambda: running.forecast(segment)[1] == 2, "version 2", 30)
    second, _ = running.forecast(segment)
    assert second != first
    running.prophetctl("rollback", segment)
    until(lambda: running.forecast(segment) == (first, 1), "version 1 again", 30)
    say(f"a promotion was live {took:.1f} s after prophetctl ended")


@dataclass
class Caller:
    """Asks for one segment after the other, without a pause, until it is told to stop."""

    running: Stack
    known: dict[str, Any]
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        while not self._over.is_set():
            for segment in SEGMENTS:
                try:
                    told = self.running.forecast(segment)
                except httpx.HTTPError as error:
                    self.failures.append(f"{segment}: {error!r}")
                else:
                    self.answers += 1
                    if told != self.known[segment]:
                        self.failures.append(f"{segment}: {told} instead of {self.known[segment]}")
                time.sleep(0.005)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        thread = threading.Thread(target=self.ask)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


def test_no_container_s_end_costs_a_forecast_or_a_model(running: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each but the service is killed and started again under load: no answer fails, and none is another than before.

    Then all of it is read anew, by a service that has nothing but the registry.
    """
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")  # as the service has it
    known = {segment: running.forecast(segment) for segment in SEGMENTS}
    caller = Caller(running, known)
    with caller.asking():
        for service in ("prometheus", "store", "mlflow", "postgres"):
            before = caller.answers
            running.kill(service)
            time.sleep(AWAY)
            seconds = running.start(service)
            until(lambda: _reads(running), f"the registry after the end of {service}", 120)
            until(lambda before=before: caller.answers > before + len(SEGMENTS), "answers meanwhile")
            say(f"{service} killed: healthy again {seconds:.1f} s after its start")
    assert caller.failures == []
    say(f"{caller.answers:,} forecasts meanwhile, none failed, all the same")

    running.kill("forecast")
    running.podman("run", "--rm", "--volume", f"{_volume('catalog')}:/catalog", "--entrypoint", "sh",
                   "--user", "0", "prophet-stack-mlflow:0.1.0", "-c", "rm -rf /catalog/*")  # fmt: skip
    seconds = running.start("forecast")
    assert {segment: running.forecast(segment) for segment in SEGMENTS} == known
    say(f"the service without its snapshot: ready {seconds:.1f} s after its start, from the registry")


def test_the_service_starts_again_without_its_registry(running: Stack) -> None:
    """Killed while MLflow is away it comes back from its snapshot, and follows promotions when MLflow is back."""
    known = {segment: running.forecast(segment) for segment in SEGMENTS}
    running.kill("mlflow")
    running.kill("forecast")
    seconds = running.start("forecast")
    assert {segment: running.forecast(segment) for segment in SEGMENTS} == known
    say(f"the service without its registry: ready {seconds:.1f} s after its start, from the snapshot")
    running.start("mlflow")
    segment = SEGMENTS[3]  # which has two versions
    running.prophetctl("promote", segment, "2")
    until(lambda: running.forecast(segment)[1] == 2, "version 2")
    running.prophetctl("rollback", segment)
    until(lambda: running.forecast(segment) == known[segment], "version 1 again")


def _reads(running: Stack) -> bool:
    """Whether a champion can be read through MLflow, from database and store."""
    registry = running.registry
    try:
        return bool(registry.read(registry.champion(SEGMENTS[0])))
    except Exception:  # whatever is still away
        return False


def _volume(name: str) -> str:
    return f"{container(name).removesuffix(f'_{name}_1')}_{name}"


def _contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
