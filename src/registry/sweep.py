"""The files of versions: how large they are, how they are removed, and those that belong to no version at all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from registry.api_writer import writing
from registry.log import EXPERIMENT
from registry.registry import Registry

SAFE_SECONDS = 3600  # a job that runs registers what it has stored long before that


@dataclass(frozen=True)
class Swept:
    """Folders of files that no version or model names. local: whether they could be looked for at all."""

    folders: int = 0
    size: int = 0
    local: bool = True


def sweep(registry: Registry, known: Collection[str], dry_run: bool) -> Swept:
    """Remove the folders models/m-* of the experiment that jobs write to where no model is, as a killed job leaves.

    known: ids of models that need not be looked up. Only folders are swept that nobody has written to for
    SAFE_SECONDS. Remote artifact stores are left alone, for they do not say how old a folder is. Raises
    RegistryUnavailable.
    """
    with writing():
        experiment = registry.client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return Swept()
        root = get_artifact_repository(experiment.artifact_location, tracking_uri=registry.uri)
        if not isinstance(root, LocalArtifactRepository):
            return Swept(local=False)
        count, size = 0, 0
        for folder in Path(root.artifact_dir).glob("models/m-*"):
            if folder.name in known or not _is_old(folder) or _has_model(registry, folder.name):
                continue
            count, size = count + 1, size + sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            if not dry_run:
                shutil.rmtree(folder)
    return Swept(count, size)


def size_of(location: str, uri: str) -> int:
    """The bytes of all files at an artifact location; an exception is whatever the artifact store raises."""
    return sum(_sizes(get_artifact_repository(location, tracking_uri=uri, registry_uri=uri), None))


def remove(location: str, uri: str) -> None:
    """Remove a model's files, and the folder around them; an exception is whatever the artifact store raises."""
    repository = get_artifact_repository(location, tracking_uri=uri, registry_uri=uri)
    repository.delete_artifacts()  # type: ignore[no-untyped-call]
    if isinstance(repository, LocalArtifactRepository):
        folder = Path(repository.artifact_dir).parent
        if folder.name.startswith("m-") and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _sizes(repository: ArtifactRepository, path: str | None) -> Iterator[int]:
    for entry in repository.list_artifacts(path):
        if entry.is_dir:
            yield from _sizes(repository, entry.path)
        else:
            yield entry.file_size or 0


def _is_old(folder: Path) -> bool:
    newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    return time.time() - newest > SAFE_SECONDS


def _has_model(registry: Registry, model_id: str) -> bool:
    """Whether MLflow knows the model; one that was deleted it does not."""
    try:
        registry.client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        return False
    return True
