"""Register segments through MLflow's public API, one after the other, with the fewest calls that it allows."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

import mlflow
from mlflow.entities import LoggedModelOutput, Metric, Param
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from registry.errors import RegistryError, RegistryUnavailable
from registry.model_files import MODEL_NAME, ModelFiles
from registry.records import SegmentRecord, checked, failed_run, run_tags
from registry.registry import Registry
from registry.store import DATABASE_SCHEMES, quiet_mlflow
from registry.versions import ModelVersion

_VARIABLE = "MLFLOW_TRACKING_URI"
_NAMING = threading.Lock()  # one store at a time is named


class ApiWriter:
    """Writes to any store that MLflow reaches; see records.Writer for the contract."""

    def __init__(self, registry: Registry, job_run_id: str, experiment: str) -> None:
        self._registry = registry
        self._client = registry.client
        self._job_run_id = job_run_id
        self._experiment = experiment
        self._files = ModelFiles(registry.uri)
        self._context: dict[str, str] = resolve_tags()

    def write(self, records: Iterable[SegmentRecord]) -> list[ModelVersion | RegistryError]:
        """Register each record, promote those that ask for it, and say in order what came of each."""
        return [self._write_one(record) for record in records]

    def write_failures(self, failures: Mapping[str, str]) -> None:
        """Keep a FAILED child run for each segment, its reason as the tag `failure`. Raises RegistryUnavailable."""
        for segment, reason in failures.items():
            name, tags = failed_run(segment, reason)
            with writing():
                self._client.set_terminated(self._start_run(name, tags), "FAILED")

    def log(self, record: SegmentRecord) -> ModelVersion:
        """Make a record a version that no alias names yet; the version comes last, when its files are whole.

        Raises BadSegment, BadRecord or RegistryUnavailable.
        """
        record = checked(record)
        with writing():
            run_id = self._start_run(record.segment, run_tags(record.tags))
            try:
                created = self._create_version(record, run_id)
            except Exception:
                with suppress(Exception):  # the store that failed may fail once more; the first error is what counts
                    self._client.set_terminated(run_id, "FAILED")
                raise
            self._client.set_terminated(run_id, "FINISHED")
        return ModelVersion.of(created)

    def _write_one(self, record: SegmentRecord) -> ModelVersion | RegistryError:
        try:
            version = self.log(record)
            self._registry.set_challenger(record.segment, version.version)
            if record.promote:
                self._registry.promote(record.segment, version.version, record.reason)
        except RegistryError as error:
            return error
        return version

    def _start_run(self, name: str, tags: Mapping[str, str]) -> str:
        tags = {MLFLOW_RUN_NAME: name, MLFLOW_PARENT_RUN_ID: self._job_run_id, **tags}
        return str(self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id)

    def _create_version(self, record: SegmentRecord, run_id: str) -> MlflowVersion:
        """Log params, metrics, model and files, and register them."""
        params, now = dict(record.params), int(time.time() * 1000)
        model = self._client.create_logged_model(
            self._experiment, name=MODEL_NAME, source_run_id=run_id, tags=dict(self._context), params=params
        )
        self._client.log_batch(
            run_id,
            # A metric that names its model stands on the run and on the model.
            metrics=[
                Metric(key, value, now, 0, model_id=model.model_id, run_id=run_id)
                for key, value in record.metrics.items()
            ],
            params=[Param(key, value) for key, value in params.items()],
        )
        self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        self._files.save(
            record.model_json,
            record.inputs,
            location=model.artifact_location,
            run_id=run_id,
            model_id=model.model_id,
        )
        self._client.finalize_logged_model(model.model_id, "READY")
        return self._register(record, run_id, model.model_id)

    def _register(self, record: SegmentRecord, run_id: str, model_id: str) -> MlflowVersion:
        """Create the version, and the registered model before its first."""
        tracked_by_database = self._registry.uri.startswith(DATABASE_SCHEMES)
        try:
            version = self._number(record, run_id, model_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._create_registered_model(record.name)
            version = self._number(record, run_id, model_id)
        if tracked_by_database:  # a tracking server links the model to its version by itself
            self._client.set_logged_model_tags(
                model_id, {MLFLOW_MODEL_VERSIONS: link(version.name, int(version.version))}
            )
        return version

    def _number(self, record: SegmentRecord, run_id: str, model_id: str) -> MlflowVersion:
        with _named(self._registry.uri):
            return self._client.create_model_version(
                record.name, f"models:/{model_id}", run_id=run_id, tags=dict(record.tags), model_id=model_id
            )

    def _create_registered_model(self, name: str) -> None:
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # else another job was faster
                raise


def link(name: str, version: int) -> str:
    """The tag by which MLflow's pages go from a logged model to its version."""
    return json.dumps([{"name": name, "version": version}])


@contextmanager
def _named(uri: str) -> Iterator[None]:
    """Name the store to MLflow for as long as a version is made, and put back what was named before.

    A database's own code looks the logged model up in whatever store is named for the whole process, and MLflow hands
    that name to every child.
    """
    if not uri.startswith(DATABASE_SCHEMES):
        yield
        return
    with _NAMING:
        before = os.environ.get(_VARIABLE)  # which follows what is named in the process
        mlflow.set_tracking_uri(uri)
        try:
            yield
        finally:
            if before is None:
                mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
            else:
                mlflow.set_tracking_uri(before)


@contextmanager
def writing() -> Iterator[None]:
    """Hush MLflow's progress messages, and turn its errors into ours."""
    try:
        with quiet_mlflow():
            yield
    except RegistryError:
        raise
    except Exception as error:  # MLflow's, SQLAlchemy's, the artifact store's own
        raise RegistryUnavailable(f"MLflow did not take the record: {type(error).__name__}: {error}") from error
