"""Registering a segment as anybody would with MLflow alone: the measure for our own writers."""

from __future__ import annotations

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from prophet import Prophet
from prophet.serialize import model_to_json

from registry.log import JobLog
from registry.records import SegmentRecord
from registry.registry import Registry
from registry.versions import ModelVersion


def record_of(prophet: Prophet, segment: str, **changes: object) -> SegmentRecord:
    """A record with a bit of everything."""
    given = {
        "inputs": (),
        "params": {"growth": "linear", "long": "x" * 7000},
        "metrics": {"backtest.mase": 0.5, "not a number": float("nan"), "infinite": float("-inf")},
        "tags": {"metric.mase": "0.5", "forecast.freq": "D", "long": "ü" * 9000},
        "promote": True,
        "reason": "better",
    }
    return SegmentRecord(segment=segment, model_json=model_to_json(prophet), **(given | changes))


def log_ordinarily(registry: Registry, job: JobLog, prophet: Prophet, record: SegmentRecord) -> ModelVersion:
    """Log one run with mlflow.prophet.log_model, tag its version and set its aliases, call by call."""
    client = registry.client
    mlflow.set_tracking_uri(registry.uri)
    mlflow.set_registry_uri(registry.uri)
    experiment = client.get_run(job.run_id).info.experiment_id
    names = {"mlflow.runName": record.segment, "mlflow.parentRunId": job.run_id}
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
