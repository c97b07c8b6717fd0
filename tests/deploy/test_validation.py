"""Others' judgement of the manifests and the Dockerfile: Kubernetes' own schemas, checkov, hadolint."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.kustomize import build
from tests.deploy.tools import ROOT
from tests.lacking import lacking

pytestmark = pytest.mark.deploy

TOOLS = ROOT / ".venv" / "deploy" / "bin"  # requirements/deploy.txt
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("small", "production")
OLDEST = "1.31"  # Kubernetes whose schemas are asked


def _run(tool: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    if not (TOOLS / tool).exists():
        lacking(f"no {tool} here: make test-deploy")
    return subprocess.run([TOOLS / tool, *words], capture_output=True, text=True, check=False, cwd=ROOT)


def _write(folder: Path, manifests: list[dict[str, Any]]) -> Path:
    path = folder / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(manifests))
    return path


def _faults(path: Path) -> str:
    """What Kubernetes' schemas have against it; a kind that they do not know is only a warning there."""
    done = _run("kubernetes-validate", "-k", OLDEST, "--strict", path)
    told = done.stdout + done.stderr
    lines = [line for line in told.splitlines() if not line.startswith("INFO")]
    assert lines or done.returncode == 0, told
    return "\n".join(lines)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_fits_the_schemas(overlay: str, tmp_path: Path) -> None:
    """Every kind is known, and every field."""
    manifests = build(KUBERNETES / "overlays" / overlay)
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"forecasts"}
    assert _faults(_write(tmp_path, manifests)) == ""


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "Deploymint"},
        {"apiVersion": "apps/v7"},
        {"specs": {}},
        {"spec": {"replicas": "two"}},
    ],
)
def test_the_schemas_find_faults(fault: dict[str, Any], tmp_path: Path) -> None:
    """Or the test above would say nothing."""
    (deployment,) = (
        manifest for manifest in build(KUBERNETES / "overlays" / "small") if manifest["kind"] == "Deployment"
    )
    assert _faults(_write(tmp_path, [deployment | fault])) != ""


def test_the_service_monitor_finds_the_service(tmp_path: Path) -> None:
    """Its kind is the Prometheus operator's, whose schema is not at hand."""
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    kubernetes = os.path.relpath(KUBERNETES, overlay.resolve())  # kustomize takes no absolute paths
    kustomization = {
        "resources": [f"{kubernetes}/overlays/production"],
        "components": [f"{kubernetes}/components/monitoring"],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    manifests = {manifest["kind"]: manifest for manifest in build(overlay)}
    monitor, service = manifests["ServiceMonitor"]["spec"], manifests["Service"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_checkov_has_nothing_against_an_overlay(overlay: str, tmp_path: Path) -> None:
    """But for what deploy/kubernetes/.checkov.yaml passes over, each with its reason."""
    path = _write(tmp_path, build(KUBERNETES / "overlays" / overlay))
    done = _run("checkov", "--config-file", KUBERNETES / ".checkov.yaml", "--file", path)
    assert done.returncode == 0, done.stdout
    assert "Passed checks: 0," not in done.stdout
    assert "Passed checks: " in done.stdout, done.stdout


def test_hadolint_has_nothing_against_the_dockerfile() -> None:
    """Not even a remark."""
    done = _run("hadolint", "--failure-threshold", "style", "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")
