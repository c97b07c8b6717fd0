"""The images, each built once a session, and told of: what took how long, and how large it came out."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.engine import Engine
from tests.deploy.tools import ROOT
from tests.waiting import say


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """podman or docker, with the base of all images in its store."""
    here = Engine.here(tmp_path_factory.mktemp("engine"))
    began = time.monotonic()
    done = here.run([ROOT / "deploy" / "base_image.sh"])
    assert done.returncode == 0, done.stdout + done.stderr
    say(f"the base: {time.monotonic() - began:.0f} s")
    return here


@pytest.fixture(scope="session")
def serving_image(engine: Engine) -> str:
    """The Dockerfile's last stage."""
    return _build(engine, "serving")


@pytest.fixture(scope="session")
def trainer_image(engine: Engine) -> str:
    """The Dockerfile's other target."""
    return _build(engine, "trainer")


@pytest.fixture(scope="session")
def bento_image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """As `make image` makes it, from a Bento store of its own."""
    image = "localhost/prophet-serving-bento:test"
    path = f"{Path(sys.executable).parent}:{engine.environment['PATH']}"
    home = str(tmp_path_factory.mktemp("bentoml"))
    own = Engine(engine.program, {**engine.environment, "PATH": path, "BENTOML_HOME": home})
    began = time.monotonic()
    for command in (["bentoml", "build"], ["deploy/bento_image.sh", image]):
        done = own.run([*command])
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    _tell(engine, image, began)
    return image


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that containers see where it is; what they and we write there is anybody's to write."""
    folder = Path(tempfile.mkdtemp(prefix="prophet-serving-", dir="/var/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def _build(engine: Engine, target: str) -> str:
    image = f"localhost/prophet-{target}:test"
    began = time.monotonic()
    engine("build", "--quiet", "--network", "host", "--target", target, "--tag", image, ".")
    _tell(engine, image, began)
    return image


def _tell(engine: Engine, image: str, began: float) -> None:
    say(f"{image}: {engine.megabytes(image):.0f} MB, built in {time.monotonic() - began:.0f} s")
