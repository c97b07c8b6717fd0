"""The compose stack's files: what docker's own compose, hadolint and the service say of them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serving.keys import read_keys
from tests.deploy.stack import FILES, docker_compose
from tests.deploy.tools import ROOT
from tests.lacking import lacking

pytestmark = pytest.mark.deploy


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


def _contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
