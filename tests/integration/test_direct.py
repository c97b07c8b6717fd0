"""What a service looks up in a database by itself: the same as MLflow says, and without MLflow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prophet import Prophet

from registry.direct import DirectRegistry
from registry.errors import NoChampion, RegistryUnavailable, UnknownSegment, UnknownVersion
from registry.log import JobLog
from registry.names import model_name
from registry.registry import Registry
from tests.integration.ordinary import record_of

AWAY = "postgresql+psycopg://user:secret@127.0.0.1:1/none"


@pytest.fixture
def filled(both_stores: Registry, prophet: Prophet) -> Registry:
    """A store with two versions of `a/b`, the first of which is served, and with `idle`, which has no champion."""
    for name, promote in (("a/b", True), ("a/b", False), ("idle", False)):
        with JobLog(both_stores, "job", {}) as job:
            job.writer.write([record_of(prophet, name, promote=promote)])
    return both_stores


def test_versions_are_those_that_mlflow_gives(filled: Registry) -> None:
    """With their tags, runs and files."""
    direct = DirectRegistry(filled.uri)
    assert direct.champion("a/b") == filled.champion("a/b")
    for number in (1, 2):
        version = direct.version("a/b", number)
        assert version == filled.version("a/b", number)
        assert direct.location(version) == filled.location(version)
        assert direct.read(version) == filled.read(version)


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda registry: registry.champion("nobody"), UnknownSegment, "nobody"),
        (lambda registry: registry.version("nobody", 1), UnknownSegment, "nobody"),
        (lambda registry: registry.champion("idle"), NoChampion, "idle"),
        (lambda registry: registry.version("a/b", 3), UnknownVersion, "'a/b' has no version 3"),
        (lambda registry: registry.version("a/b", 2**31 - 1), UnknownVersion, "2147483647"),
    ],
)
def test_what_is_not_there_is_named(
    filled: Registry, ask: Callable[[Registry], object], error: type[Exception], words: str
) -> None:
    """In the words that MLflow's view of it has."""
    with pytest.raises(error, match=words) as by_mlflow:
        ask(filled)
    with pytest.raises(error) as by_tables:
        ask(DirectRegistry(filled.uri))
    assert str(by_tables.value) == str(by_mlflow.value)


def test_a_version_that_was_deleted_is_not_there(filled: Registry) -> None:
    """MLflow keeps its row."""
    filled.client.delete_model_version(model_name("a/b"), "2")
    with pytest.raises(UnknownVersion):
        DirectRegistry(filled.uri).version("a/b", 2)


def test_a_store_that_is_not_made_yet_is_made_by_mlflow(tmp_path: Path) -> None:
    """As for everybody who opens it first; only then has it tables that can be read."""
    with pytest.raises(UnknownSegment):
        DirectRegistry(f"sqlite:///{tmp_path}/mlflow.db").champion("a")


def test_a_store_that_does_not_answer_is_called_so() -> None:
    """Without its password."""
    with pytest.raises(RegistryUnavailable, match=r"user@127.0.0.1:1") as caught:
        DirectRegistry(AWAY).champion("a")
    assert "secret" not in str(caught.value)


def test_what_is_asked_of_a_tracking_server_goes_through_mlflow(mlflow_server: str) -> None:
    """There is no other way."""
    with pytest.raises(UnknownSegment):
        DirectRegistry(mlflow_server).champion("nobody but here")


def test_mlflow_is_not_imported_for_it(filled: Registry, tmp_path: Path) -> None:
    """Not for a segment that is served, nor for one that is not there."""
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from registry.direct import DirectRegistry\n"
        "from registry.errors import UnknownSegment\n"
        f"registry = DirectRegistry({filled.uri!r})\n"
        "size = len(registry.read(registry.champion('a/b')))\n"
        "try:\n"
        "    registry.champion('nobody')\n"
        "except UnknownSegment:\n"
        "    print(size > 1000, 'mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "True False"
