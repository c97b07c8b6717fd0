"""Read a version's files without running anything that they carry.

`mlflow.prophet.load_model` puts an artifact's code/ folder on sys.path, and `mlflow.pyfunc.load_model` imports
any module that MLmodel names: both would run a stranger's code inside the service. Here MLmodel is read as YAML, an
artifact that brings code is refused, and the model itself is handed on as the JSON text that it is.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from registry.errors import BadArtifact

MAX_MODEL_BYTES = 64 * 2**20
# The safe loader written in C takes a tenth of the time of the one in Python.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_prophet(location: str, uri: str) -> str:
    """The JSON of the Prophet whose artifact lies at location, in the store at uri; what it says is not looked at.

    Raises BadArtifact naming what is wrong: unreadable, missing or oversized files, another flavor than prophet,
    code in the artifact, a model that is no JSON.
    """
    with _files(location, uri) as read:
        data = _checked_data_name(read("MLmodel"))
        text = read(data)
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))  # MLflow writes Prophet's JSON text as a JSON text
    except ValueError as error:
        raise BadArtifact(f"{data} at {location}: {error}") from error


@contextlib.contextmanager
def _files(location: str, uri: str) -> Iterator[Callable[[str], str]]:
    """What reads one file of an artifact after another: where it lies if that is this machine, else fetched first.

    Raises BadArtifact for a location that no artifact store can have.
    """
    if folder := _folder_here(location):  # MLflow would say the same, and takes seconds to import
        yield lambda name: _read(name, location, lambda: folder / name)
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    try:
        repository = get_artifact_repository(location, tracking_uri=uri, registry_uri=uri)
    except Exception as error:  # each kind of artifact store has exceptions of its own
        raise BadArtifact(f"there is no artifact store for {location}: {error}") from error
    if isinstance(repository, LocalArtifactRepository):
        yield lambda name: _read(name, location, lambda: Path(repository.artifact_dir) / name)
        return
    with tempfile.TemporaryDirectory(prefix="prophet-serving-") as scratch:
        fetch = repository.download_artifacts
        yield lambda name: _read(name, location, lambda: Path(fetch(name, scratch)))  # type: ignore[no-untyped-call]


def _folder_here(location: str) -> Path | None:
    """The folder of this machine that a location names in the usual ways: by an absolute path, or a URL without a host.

    Both are unquoted, as MLflow does.
    """
    if location.startswith("/"):
        return Path(unquote(location))
    return Path(unquote(urlsplit(location).path)) if location.startswith("file:///") else None


def _read(name: str, location: str, find: Callable[[], Path]) -> str:
    try:
        path = find()
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise BadArtifact(f"{name} at {location} is larger than {MAX_MODEL_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except BadArtifact:
        raise
    except Exception as error:  # each kind of artifact store has exceptions of its own
        raise BadArtifact(f"{name} at {location} cannot be read: {error}") from error


def _checked_data_name(text: str) -> str:
    """Say which file holds the model, after refusing an MLmodel that is not a plain prophet one."""
    try:
        document = yaml.load(text, _LOADER)
    except yaml.YAMLError as error:
        raise BadArtifact(f"MLmodel is not YAML: {error}") from error
    flavors: Any = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavors, dict) or not isinstance(flavors.get("prophet"), dict):
        raise BadArtifact("MLmodel has no prophet flavor; log the model with mlflow.prophet.log_model")
    for flavor, settings in flavors.items():
        if isinstance(settings, dict) and settings.get("code"):
            raise BadArtifact(f"flavor {flavor} brings code ({settings['code']}), which is never run here")
    name = flavors["prophet"].get("data", "model.pr")
    if not isinstance(name, str) or PurePosixPath(name).name != name:
        raise BadArtifact(f"MLmodel names {name!r} as its data, which is not a plain file name")
    return name
