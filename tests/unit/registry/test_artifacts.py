"""Which artifacts are read without asking MLflow where they lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from registry.artifacts import _folder_here


@pytest.mark.parametrize(
    "location",
    ["/a/b", "/a%20b/c d", "//a/b", "/a?b#c", "file:///a/b", "file:///a%20b/ü", "file:///a?b#c", "file:///a;b"],
)
def test_a_folder_of_this_machine_is_the_one_that_mlflow_reads(location: str) -> None:
    """Quoted characters and what looks like a query included."""
    repository = get_artifact_repository(location)
    assert isinstance(repository, LocalArtifactRepository)
    assert _folder_here(location) == Path(repository.artifact_dir)


@pytest.mark.parametrize("location", ["s3://a/b", "models:/m-1", "file://host/a", "file:a", "a/b", "", "http://[a"])
def test_anything_else_is_left_to_mlflow(location: str) -> None:
    """Whether it has an artifact store for it or not."""
    assert _folder_here(location) is None
