"""A registry with as many champions as one likes, written straight into MLflow's tables.

Rows are what a training job leaves of a version; the files are those of a few models, which all versions share.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from mlflow.store.model_registry.dbmodels import models as registered

from forecasting import prophet_model
from forecasting.history import check_history
from forecasting.spec import ProphetSpec
from registry.model_files import ModelFiles
from registry.names import model_name
from registry.registry import CHALLENGER, CHAMPION, Registry
from registry.tables.schema import engine_of, table_of

MODELS = 40
_ROWS_A_CHUNK = 5_000
_METRICS = ("mase", "smape", "wape", "bias", "coverage", "mase_baseline", "mase_stock")


def segment(number: int | str) -> str:
    """The key of one of the segments."""
    return f"user_{number}_groceries"


def fill(registry: Registry, champions: int, folder: Path) -> None:
    """Register that many segments, each with one version as its champion, their files below folder."""
    locations = [location for location in _store_models(registry.uri, folder)]
    registry.ping()
    engine = engine_of(registry.uri)
    for start in range(0, champions, _ROWS_A_CHUNK):
        numbers = range(start, min(start + _ROWS_A_CHUNK, champions))
        with engine.begin() as connection:
            for table, rows in _rows(numbers, locations).items():
                connection.execute(sa.insert(table_of(table)), rows)
    with engine.begin() as connection:  # as a database does by itself within minutes, where it is not told not to
        connection.execute(sa.text("ANALYZE"))


def add_version(registry: Registry, number: int, location: str) -> int:
    """One more version of a segment, by MLflow's own client, not promoted."""
    return int(registry.client.create_model_version(model_name(segment(number)), location).version)


def _store_models(uri: str, folder: Path) -> Iterator[str]:
    files, day = ModelFiles(uri), np.arange(731)
    for seed in range(MODELS):
        noise = np.random.default_rng(seed).normal(0, 3, day.size)
        y = 100 + 0.05 * day + 10 * np.sin(2 * np.pi * day / 7) + noise
        frame = pd.DataFrame({"ds": pd.date_range(datetime(2022, 1, 1), periods=day.size), "y": y})
        model = prophet_model.fit(check_history(frame), ProphetSpec(), "exact")
        location = (folder / f"model-{seed}").as_uri()
        files.save(prophet_model.to_json(model), (), location=location, run_id=uuid.uuid4().hex, model_id="m")
        yield location


def _rows(numbers: range, locations: list[str]) -> dict[Any, list[dict[str, Any]]]:
    now = int(time.time() * 1000)
    rows: dict[Any, list[dict[str, Any]]] = {
        table: []
        for table in (
            registered.SqlRegisteredModel,
            registered.SqlModelVersion,
            registered.SqlRegisteredModelAlias,
            registered.SqlModelVersionTag,
        )
    }
    for number in numbers:
        name = {"workspace": "default", "name": model_name(segment(number))}
        times = {"creation_time": now, "last_updated_time": now}
        location, tags = locations[number % len(locations)], _tags(number)
        rows[registered.SqlRegisteredModel].append(name | times)
        rows[registered.SqlModelVersion].append(
            name
            | times
            | {"version": 1, "run_id": uuid.uuid4().hex, "source": location, "storage_location": location}
            | {"current_stage": "None", "status": "READY"}
        )
        rows[registered.SqlRegisteredModelAlias] += [
            name | {"alias": alias, "version": 1} for alias in (CHAMPION, CHALLENGER)
        ]
        rows[registered.SqlModelVersionTag] += [
            name | {"version": 1, "key": key, "value": value} for key, value in tags.items()
        ]
    return rows


def _tags(number: int) -> dict[str, str]:
    described = {"forecast.freq": "D", "forecast.solver": "exact", "forecast.trained_through": "2024-01-01T00:00:00"}
    return described | {f"metric.{name}": f"{0.5 + number % 97 / 100:.4f}" for name in _METRICS}
