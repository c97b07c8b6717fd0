"""The benchmarks' model: a Prophet in an MLflow store of its own, logged as plain MLflow users log it."""

from __future__ import annotations

import logging
from pathlib import Path

import mlflow
from prophet import Prophet

from benchmarks.history import SEGMENT, daily_history

_NOISY = ("alembic", "cmdstanpy", "mlflow", "prophet")


def register_champion(folder: Path) -> str:
    """Fit, log and register the series' model as plain MLflow users do, and give the store's URI.

    The store is an SQLite file in the folder, with its artifacts beside it.
    """
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("cmdstanpy").addHandler(logging.NullHandler())  # without any, it makes itself a loud one
    uri = f"sqlite:///{folder}/mlflow.db"
    name = f"forecast.{SEGMENT}"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    experiment = mlflow.create_experiment("bench", artifact_location=(folder / "artifacts").as_uri())
    model = Prophet(yearly_seasonality=True, weekly_seasonality=True, daily_seasonality=False).fit(daily_history())
    with mlflow.start_run(experiment_id=experiment):
        # Named requirements spare MLflow the minute in which it finds them out by importing everything.
        mlflow.prophet.log_model(model, name="model", registered_model_name=name, pip_requirements=["prophet"])
    mlflow.MlflowClient().set_registered_model_alias(name, "champion", "1")
    return uri


def register_copies(uri: str, count: int) -> list[str]:
    """Make the same model the champion of so many other segments, and give their names."""
    client = mlflow.MlflowClient(uri, uri)
    first = client.get_model_version_by_alias(f"forecast.{SEGMENT}", "champion")
    segments = [f"{SEGMENT}_{number}" for number in range(count)]
    for name in (f"forecast.{segment}" for segment in segments):
        client.create_registered_model(name)
        client.create_model_version(name, first.source, first.run_id)
        client.set_registered_model_alias(name, "champion", "1")
    return segments
