"""The Kubernetes manifests agree with the code, the image and each other; what needs tools besides is marked deploy."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import cli
from serving import supervisor
from serving.settings import Settings
from training.config import load_config

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "deploy" / "kubernetes" / "base"
MLFLOW_S = {"MLFLOW_TRACKING_URI"}  # settings that are not ours
CRONJOBS = ("train", "prune")


def _read(name: str) -> Any:
    return yaml.safe_load((BASE / name).read_text(encoding="utf-8"))


@pytest.fixture
def pod() -> dict[str, Any]:
    """The service's Pod."""
    return dict(_read("deployment.yaml")["spec"]["template"]["spec"])


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    """Its only container."""
    (only,) = pod["containers"]
    return dict(only)


def _settings() -> dict[str, str]:
    lines = (BASE / "settings.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _dockerfile(instruction: str) -> str:
    """What the image's last such instruction says."""
    return re.findall(rf"^{instruction} (.+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[-1]


def test_a_pod_has_the_time_to_end_well(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """What it was sent is answered before the signal, and what the signal begins is over before the Pod is killed."""
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    after = supervisor._FRONT_SECONDS + supervisor._REST_SECONDS
    assert before >= Settings().timeout_seconds
    assert pod["terminationGracePeriodSeconds"] > before + after


def test_the_pod_fits_its_image(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """The user and the port are the Dockerfile's."""
    user, group = (pod["securityContext"][name] for name in ("runAsUser", "runAsGroup"))
    assert _dockerfile("USER") == f"{user}:{group}"
    assert [port["containerPort"] for port in container["ports"]] == [int(_dockerfile("EXPOSE"))]


def test_every_setting_is_one_and_good() -> None:
    """A setting that nobody reads would be a typing error that nobody sees."""
    given = _settings()
    ours = {name.removeprefix("FORECAST_").lower(): value for name, value in given.items() if name not in MLFLOW_S}
    assert ours.keys() <= Settings.model_fields.keys()
    Settings.model_validate(ours)


def test_what_settings_name_is_mounted(container: dict[str, Any]) -> None:
    """The keys and the snapshot lie in volumes, since all else is read-only."""
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    settings = _settings()
    assert mounts[str(Path(settings["FORECAST_KEYS_FILE"]).parent)]["readOnly"]
    assert "readOnly" not in mounts[settings["FORECAST_SNAPSHOT_DIR"]]
    assert "readOnly" not in mounts["/tmp"]


def test_the_nightly_job_can_be_read() -> None:
    """Training refuses a configuration that it does not understand; better here than at three in the morning."""
    job = load_config(BASE / "job.yaml", {})
    assert job.source.url is not None
    assert ":" not in job.source.url.split("@")[0].removeprefix("postgresql://"), "a password in a ConfigMap"


@pytest.mark.parametrize("name", CRONJOBS)
def test_the_jobs_commands_are_prophetctls(name: str) -> None:
    """As prophetctl itself reads them, every option with what it wants."""
    (container,) = _read(f"{name}.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    program, command, *words = container["command"]
    assert program == "prophetctl"
    typer.main.get_command(cli.app).commands[command].make_context(command, words)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [f"{name}.yaml" for name in (*CRONJOBS, "deployment")])
def test_no_container_may_more_than_it_must(name: str) -> None:
    """What Kubernetes' `restricted` profile asks for, and a root file system that cannot be written."""
    spec = _read(name)["spec"]
    pod = spec.get("jobTemplate", {"spec": spec})["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


def test_images_are_those_of_this_version() -> None:
    """No tag moves by itself."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    images = _read("kustomization.yaml")["images"]
    assert {image["name"]: image["newTag"] for image in images} == {
        "prophet-serving": version,
        "prophet-trainer": version,
    }
