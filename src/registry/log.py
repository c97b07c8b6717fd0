"""What a training job writes: one run a job, a child run a segment, one version a fitted model."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_LOGGED_ARTIFACTS, MLFLOW_RUN_NAME
from prophet import Prophet

from forecasting.prophet_model import required_columns, to_json
from registry.api_writer import ApiWriter, writing
from registry.records import SegmentRecord, Writer
from registry.registry import Registry
from registry.store import ensure_experiment
from registry.versions import ModelVersion
from registry.writer import open_writer

EXPERIMENT = "forecasts"
_MLFLOW_TYPES = {"number": "double", "text": "string", "date": "datetime", "mixed": "string"}


@dataclass(frozen=True)
class TrainingData:
    """What a job was trained on. digest: of all rows. kind: MLflow's word for such a source; place: where it is.

    columns: by name, the type of each: number, text, date or mixed. profile: figures of its size.
    """

    name: str
    digest: str
    kind: str
    place: Mapping[str, str]
    columns: Mapping[str, str]
    profile: Mapping[str, int]


class JobLog:
    """One training job in MLflow, as a context manager.

    The job's run is FINISHED when the block ends, FAILED when an exception leaves it.
    """

    def __init__(
        self, registry: Registry, name: str, params: Mapping[str, object], unfinished: str | None = None
    ) -> None:
        """unfinished: the run of a job that was cut short, to go on with; it keeps its own name and params."""
        self._registry = registry
        self._client = registry.client
        with writing():
            self.experiment = ensure_experiment(self._client, registry.uri, EXPERIMENT)
            self.run_id = unfinished or self._start(name, params)
            if unfinished:
                self._client.update_run(unfinished, status="RUNNING")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with writing():
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

        The version is created last, when its files are whole.
        Raises BadSegment, BadRecord or RegistryUnavailable.
        """
        return self._api.log(
            SegmentRecord(
                segment=segment,
                model_json=to_json(model),
                inputs=required_columns(model),
                params={key: str(value) for key, value in params.items()},
                metrics=metrics,
                tags=tags,
                promote=False,
            )
        )

    def log_failure(self, segment: str, message: str) -> None:
        """Keep a child run with status FAILED and the reason as its tag `failure`."""
        self._api.write_failures({segment: message})

    def log_summary(self, folder: Path, metrics: Mapping[str, float], tables: Sequence[str] = ()) -> None:
        """Put a folder's files and the job's overall metrics on the job's run. Raises RegistryUnavailable.

        tables: the files among them that MLflow's pages are to show as tables, each as its log_table writes one.
        """
        shown = json.dumps([{"path": table, "type": "table"} for table in tables])
        with writing():
            self._client.log_artifacts(self.run_id, str(folder))
            self._client.log_batch(
                self.run_id,
                metrics=[Metric(key, value, _now(), 0) for key, value in metrics.items()],
                tags=[RunTag(MLFLOW_LOGGED_ARTIFACTS, shown)] if tables else [],
            )

    def log_data(self, data: TrainingData, context: str = "training") -> None:
        """Let the job's run name what it was trained on as an input, or scored with. Raises RegistryUnavailable."""
        columns = [{"name": name, "type": _MLFLOW_TYPES[kind]} for name, kind in data.columns.items()]
        dataset = Dataset(
            name=data.name,
            digest=data.digest,
            source_type=data.kind,
            source=json.dumps(data.place),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps(data.profile),
        )
        tags = [InputTag(MLFLOW_DATASET_CONTEXT, context)]
        with writing():
            self._client.log_inputs(self.run_id, [DatasetInput(dataset, tags)])

    def _start(self, name: str, params: Mapping[str, object]) -> str:
        run_id = str(self._client.create_run(self.experiment, tags={MLFLOW_RUN_NAME: name}, run_name=name).info.run_id)
        self._client.log_batch(run_id, params=_params(params))
        return run_id

    @cached_property
    def writer(self) -> Writer:
        """Registers many segments at once under this job, as fast as the store allows."""
        return open_writer(self._registry, self.run_id, self.experiment)

    @cached_property
    def _api(self) -> ApiWriter:
        return ApiWriter(self._registry, self.run_id, self.experiment)


def _params(params: Mapping[str, object]) -> list[Param]:
    return [Param(key, str(value)) for key, value in params.items()]


def _now() -> int:
    return int(time.time() * 1000)
