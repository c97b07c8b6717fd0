"""The files of a version, byte for byte those of mlflow.prophet.log_model, made from Prophet's JSON alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import yaml
from mlflow import pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.utils.environment import _process_pip_requirements, _PythonEnv

MODEL_NAME = "model"
_DATA = "model.pr"
_PROPHET = installed_version("prophet")  # asked once: the answer takes most of a millisecond
_FORECAST_COLUMNS = ("yhat", "yhat_lower", "yhat_upper", "trend")
# Takes a seventh of the time of the writer in Python that MLflow uses, and writes the same text.
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class ModelFiles:
    """Makes and stores the files of one version after another."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._environment = _environment_files()

    def save(self, model_json: str, inputs: tuple[str, ...], *, location: str, run_id: str, model_id: str) -> None:
        """Write the files to the artifact location; an exception is whatever the artifact store raises."""
        data = json.dumps(model_json).encode()  # MLflow writes Prophet's JSON text as a JSON text
        described = _mlmodel(inputs, len(data), location=location, run_id=run_id, model_id=model_id)
        self._store({**self._environment, _DATA: data, "MLmodel": described.encode()}, location)

    def _store(self, files: Mapping[str, bytes], location: str) -> None:
        repository = get_artifact_repository(location, tracking_uri=self._uri, registry_uri=self._uri)
        if isinstance(repository, LocalArtifactRepository):
            _write(files, Path(repository.artifact_dir))
            return
        with tempfile.TemporaryDirectory(prefix="prophet-serving-") as scratch:
            _write(files, Path(scratch))
            repository.log_artifacts(scratch)  # type: ignore[no-untyped-call]


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _mlmodel(inputs: tuple[str, ...], size: int, *, location: str, run_id: str, model_id: str) -> str:
    """Describe the model as mlflow.prophet.save_model does."""
    model = Model(
        artifact_path=location, run_id=run_id, model_id=model_id, model_uuid=model_id, signature=_signature(inputs)
    )
    pyfunc.add_to_model(
        model, loader_module="mlflow.prophet", conda_env="conda.yaml", python_env="python_env.yaml", data=_DATA
    )
    model.add_flavor("prophet", prophet_version=_PROPHET, code=None, model_type="Prophet", data=_DATA)
    model.model_size_bytes = size
    return str(yaml.dump(model.to_dict(), Dumper=_DUMPER, default_flow_style=False))


@lru_cache(maxsize=64)
def _signature(inputs: tuple[str, ...]) -> ModelSignature:
    """ds and the required columns in, ds and the forecast's columns out."""
    taken: list[ColSpec | TensorSpec] = [ColSpec(DataType.datetime, "ds")]
    taken += [ColSpec(DataType.double, column) for column in inputs]
    given: list[ColSpec | TensorSpec] = [ColSpec(DataType.datetime, "ds")]
    given += [ColSpec(DataType.double, column) for column in _FORECAST_COLUMNS]
    return ModelSignature(inputs=Schema(taken), outputs=Schema(given))


def _environment_files() -> dict[str, bytes]:
    """The files that say what to install, the same for every version of a job."""
    wanted = [f"prophet=={_PROPHET}"]
    conda, requirements, _ = _process_pip_requirements(None, wanted)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="prophet-serving-") as scratch:
        path = Path(scratch) / "python_env.yaml"
        _PythonEnv.current().to_yaml(str(path))  # type: ignore[no-untyped-call]
        python = path.read_bytes()
    return {
        "conda.yaml": str(yaml.safe_dump(conda, default_flow_style=False)).encode(),
        "python_env.yaml": python,
        "requirements.txt": "\n".join(requirements).encode(),
    }
