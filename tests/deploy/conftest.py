"""The images, each built once a session, and told of: what took how long, and how large it came out."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.podman import Podman
from tests.deploy.tools import ROOT
from tests.waiting import say


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """podman, with the base of all images in its store."""
    here = Podman.here(tmp_path_factory.mktemp("podman"))
    began = time.monotonic()
    done = here.run([ROOT / "deploy" / "base_image.sh"])
    assert done.returncode == 0, done.stdout + done.stderr
    say(f"the base: {time.monotonic() - began:.0f} s")
    return here


@pytest.fixture(scope="session")
def serving_image(podman: Podman) -> str:
    """The Dockerfile's last stage."""
    return _build(podman, "serving")


@pytest.fixture(scope="session")
def trainer_image(podman: Podman) -> str:
    """The Dockerfile's other target."""
    return _build(podman, "trainer")


@pytest.fixture(scope="session")
def bento_image(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> str:
    """As `make image` makes it, from a Bento store of its own."""
    image = "localhost/prophet-serving-bento:test"
    path = f"{Path(sys.executable).parent}:{podman.environment['PATH']}"
    own = Podman({**podman.environment, "PATH": path, "BENTOML_HOME": str(tmp_path_factory.mktemp("bentoml"))})
    began = time.monotonic()
    for command in (["bentoml", "build"], ["sh", "deploy/bento_image.sh", image, "podman"]):
        done = own.run([*command])
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    _tell(podman, image, began)
    return image


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that containers see where it is; what they and we write there is anybody's to write."""
    folder = Path(tempfile.mkdtemp(prefix="prophet-serving-", dir="/var/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def _build(podman: Podman, target: str) -> str:
    image = f"localhost/prophet-{target}:test"
    began = time.monotonic()
    podman("build", "--quiet", "--network", "host", "--target", target, "--tag", image, ".")
    _tell(podman, image, began)
    return image


def _tell(podman: Podman, image: str, began: float) -> None:
    say(f"{image}: {podman.megabytes(image):.0f} MB, built in {time.monotonic() - began:.0f} s")
