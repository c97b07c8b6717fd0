"""Registering a segment as anybody would with MLflow alone: the measure for our own writers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from prophet import Prophet
from prophet.serialize import model_to_json

from registry.records import SegmentRecord
from registry.registry import Registry
from registry.versions import ModelVersion


def record_of(prophet: Prophet, segment: str, **changes: object) -> SegmentRecord:
    """A record with a bit of everything."""
    given = {
        "model_json": model_to_json(prophet),
        "inputs": (),
        "params": {"growth": "linear", "long": "x" * 7000},
        "metrics": {"backtest.mase": 0.5, "not a number": float("nan"), "infinite": float("-inf")},
        "tags": {"metric.mase": "0.5", "forecast.freq": "D", "long": "ü" * 9000},
        "promote": True,
        "reason": "better",
    }
    return SegmentRecord(segment=segment, **(given | changes))


def log_ordinarily(registry: Registry, job_run_id: str, prophet: Prophet, record: SegmentRecord) -> ModelVersion:
    """Log one run with mlflow.prophet.log_model, tag its version and set its aliases, call by call."""
    client = registry.client
    mlflow.set_tracking_uri(registry.uri)
    mlflow.set_registry_uri(registry.uri)
    experiment = client.get_run(job_run_id).info.experiment_id
    names = {"mlflow.runName": record.segment, "mlflow.parentRunId": job_run_id}
    run_id = client.create_run(experiment, tags=names, run_name=record.segment).info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric(key, value, 1_700_000_000_000, 0) for key, value in record.metrics.items()],
        params=[Param(key, value) for key, value in record.params.items()],
        tags=[RunTag(key, value) for key, value in record.tags.items()],
    )
    columns = [ColSpec("datetime", "ds"), *(ColSpec("double", name) for name in record.inputs)]
    forecast = [ColSpec("double", name) for name in ("yhat", "yhat_lower", "yhat_upper", "trend")]
    with mlflow.start_run(run_id):
        info = mlflow.prophet.log_model(
            prophet,
            name="model",
            signature=ModelSignature(Schema(columns), Schema([ColSpec("datetime", "ds"), *forecast])),
            pip_requirements=["prophet==1.5.0"],
            registered_model_name=record.name,
        )
    number = str(info.registered_model_version)
    for key, value in record.tags.items():
        client.set_model_version_tag(record.name, number, key, value)
    registry.set_challenger(record.segment, int(number))
    if record.promote:
        registry.promote(record.segment, int(number), record.reason)
    return registry.version(record.segment, int(number))


def labels_of(registry: Registry, version: ModelVersion) -> dict[str, str]:
    """What is peculiar to one version, and the label that stands for it."""
    source = registry.client.get_model_version(version.name, str(version.version)).source
    return {source.removeprefix("models:/"): "MODEL", str(version.run_id): "RUN", version.segment: "SEGMENT"}


def alike(value: Any, labels: Mapping[str, str], key: str = "") -> Any:
    """Put labels in the place of what must differ, names, ids and times, but keep which belongs to which."""
    if isinstance(value, Mapping):
        return {name: alike(inner, labels, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [alike(inner, labels, key) for inner in value]
    if "time" in key and isinstance(value, int):
        return "a time"
    if not isinstance(value, str):
        return value
    if key == "input_uuid":
        return f"{len(value)} hex digits"
    for known, label in labels.items():
        value = value.replace(known, label)
    return re.sub(r"(?<=champion\.event\.)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", "a time", value)


def collect_garbage(registry: Registry) -> None:
    """Run `mlflow gc`, which must succeed."""
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "gc",
        "--backend-store-uri",
        registry.uri,
        "--tracking-uri",
        registry.uri,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
