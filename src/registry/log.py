"""What a training job writes: one run a job, a child run a segment, one version a fitted model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from types import TracebackType
from typing import Any, Self

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from prophet import Prophet

from forecasting.prophet_model import required_columns
from registry.errors import RegistryError, RegistryUnavailable
from registry.names import model_name
from registry.registry import Registry
from registry.store import ensure_experiment, quiet_mlflow
from registry.versions import ModelVersion

EXPERIMENT = "forecasts"
_FORECAST_COLUMNS = ("yhat", "yhat_lower", "yhat_upper", "trend")


class JobLog:
    """One training job in MLflow, as a context manager.

    The job's run is FINISHED when the block ends, FAILED when an exception leaves it.
    """

    def __init__(self, registry: Registry, name: str, params: Mapping[str, object]) -> None:
        self._registry = registry
        self._client = registry.client
        with _writing():
            self._experiment = ensure_experiment(self._client, registry.uri, EXPERIMENT)
            self.run_id = self._start_run(name, parent=None)
            self._client.log_batch(self.run_id, params=_params(params))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _writing():
            self._client.set_terminated(self.run_id, "FINISHED" if error is None else "FAILED")

    def log_segment(
        self,
        segment: str,
        model: Prophet,
        *,
        params: Mapping[str, object],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> ModelVersion:
        """Log and register one fitted model; its tags stand on the run and on the version.

        The version is created last, when its files are whole. Raises RegistryUnavailable.
        """
        name = model_name(segment)
        with _writing():
            run_id = self._start_run(segment, parent=self.run_id)
            self._client.log_batch(
                run_id,
                metrics=[Metric(key, value, _now(), 0) for key, value in metrics.items()],
                params=_params(params),
                tags=[RunTag(key, value) for key, value in tags.items()],
            )
            logged = _log_model(model, run_id, self._registry.uri)
            self._ensure_registered(name)
            created = self._client.create_model_version(
                name, logged.model_uri, run_id=run_id, tags=dict(tags), model_id=logged.model_id
            )
            self._client.set_terminated(run_id, "FINISHED")
        return ModelVersion.of(created)

    def log_failure(self, segment: str, message: str) -> None:
        """Keep a child run with status FAILED and the reason as its tag `failure`."""
        with _writing():
            run_id = self._start_run(segment, parent=self.run_id)
            self._client.set_tag(run_id, "failure", message[:5000])
            self._client.set_terminated(run_id, "FAILED")

    def log_summary(self, report: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Put the job's report (report.json) and its overall metrics on the job's run."""
        with _writing():
            self._client.log_dict(self.run_id, dict(report), "report.json")
            self._client.log_batch(
                self.run_id, metrics=[Metric(key, value, _now(), 0) for key, value in metrics.items()]
            )

    def _start_run(self, name: str, parent: str | None) -> str:
        tags = {MLFLOW_RUN_NAME: name}
        if parent is not None:
            tags[MLFLOW_PARENT_RUN_ID] = parent
        return str(self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id)

    def _ensure_registered(self, name: str) -> None:
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _log_model(model: Prophet, run_id: str, uri: str) -> Any:
    # log_model only knows MLflow's global tracking URI.
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.prophet.log_model(
        model,
        name="model",
        run_id=run_id,
        signature=_signature(model),
        pip_requirements=[f"prophet=={installed_version('prophet')}"],
    )


def _signature(model: Prophet) -> ModelSignature:
    inputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.datetime, "ds")]
    inputs += [ColSpec(DataType.double, column) for column in required_columns(model)]
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.datetime, "ds")]
    outputs += [ColSpec(DataType.double, column) for column in _FORECAST_COLUMNS]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _params(params: Mapping[str, object]) -> list[Param]:
    return [Param(key, str(value)) for key, value in params.items()]


def _now() -> int:
    return int(time.time() * 1000)


@contextmanager
def _writing() -> Iterator[None]:
    """Hush MLflow's progress messages, and turn its errors into ours."""
    try:
        with quiet_mlflow():
            yield
    except RegistryError:
        raise
    except Exception as error:  # MLflow's, SQLAlchemy's, the artifact store's own
        raise RegistryUnavailable(f"MLflow did not take the record: {type(error).__name__}: {error}") from error
