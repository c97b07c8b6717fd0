"""The Deployment of deploy/kubernetes runs: podman makes a Pod of it, as a kubelet would, and it forecasts."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.servers import free_port
from registry.registry import Registry
from serving.keys import create_key
from tests.deploy.engine import Engine, is_ready
from tests.deploy.kustomize import build
from tests.deploy.tools import ROOT
from tests.e2e.host import PERIODS, SEGMENTS, register
from tests.lacking import lacking
from tests.waiting import say, until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]


def test_the_deployment_forecasts(engine: Engine, serving_image: str, mlflow_server: str, tmp_path: Path) -> None:
    """As it stands in the overlay, but for the image's place, the registry's address and a port that is free here."""
    if engine.program != "podman":
        lacking(f"{engine.program} plays no manifests")
    known = register(Registry(mlflow_server), SEGMENTS[:2])
    keys = tmp_path / "keys"
    _, key = create_key(keys / "keys.json", "caller", ("*",))
    (keys / "keys.json").chmod(0o644)
    port = free_port()
    manifests = _manifests(image=serving_image, registry=mlflow_server, port=port, keys=keys)
    began = time.monotonic()
    with _played(manifests, tmp_path, engine) as container:
        http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": key}, trust_env=False)
        until(lambda: is_ready(http), lambda: engine.log(container)[-2000:])
        say(f"kube play: ready after {time.monotonic() - began:.1f} s")
        for segment, versions in known.items():
            answer = http.post("/forecast", json={"model_id": segment, "periods": PERIODS}).json()
            assert [row["yhat"] for row in answer["forecast"]] == pytest.approx(versions[1], rel=1e-9)
        _is_confined(json.loads(engine("inspect", container))[0])
        http.close()


def _manifests(*, image: str, registry: str, port: int, keys: Path) -> list[dict[str, Any]]:
    """The Deployment and the ConfigMap that it reads, with what is another here than in a cluster."""
    rendered = build(ROOT / "deploy" / "kubernetes" / "overlays" / "small")
    (deployment,) = (manifest for manifest in rendered if manifest["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (service,) = pod["containers"]
    (named,) = (source["configMapRef"]["name"] for source in service["envFrom"] if "configMapRef" in source)
    (settings,) = (manifest for manifest in rendered if manifest["metadata"]["name"] == named)
    settings["data"]["MLFLOW_TRACKING_URI"] = registry
    service["image"] = image
    # Containers share the host's network here: it must not listen where somebody else does, nor publish anything.
    service["args"] = ["bentoml", "serve", "service:ForecastService", "--host", "0.0.0.0", "--port", str(port)]
    pod["hostNetwork"] = True
    del service["ports"]
    # Debian bookworm's podman mounts what a Secret holds in base64, as it stands.
    (secret,) = (volume for volume in pod["volumes"] if "secret" in volume)
    del secret["secret"]
    secret["hostPath"] = {"path": str(keys)}
    return [settings, deployment]


@contextlib.contextmanager
def _played(manifests: list[dict[str, Any]], folder: Path, engine: Engine) -> Iterator[str]:
    """The container's name, for the length of a with block."""
    path = folder / "pod.yaml"
    path.write_text(yaml.safe_dump_all(manifests))
    engine("kube", "play", path)
    try:
        yield "forecasts-pod-0-service"
    finally:
        engine("kube", "down", path)


def _is_confined(known: dict[str, Any]) -> None:
    """As the manifest asks: read-only, no capabilities, user 10001, a bound on memory."""
    assert known["HostConfig"]["ReadonlyRootfs"] is True
    assert known["EffectiveCaps"] in (None, [])
    assert known["Config"]["User"] == "10001:10001"
    assert known["HostConfig"]["Memory"] == 2**30
