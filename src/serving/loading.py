"""From a version's JSON to a model that answers: in the HTTP workers as arrays, in the runners as whatever it takes."""

from __future__ import annotations

from forecasting.errors import Inexpressible, ModelError
from forecasting.intervals import Mode
from forecasting.prophet_history import read_history
from forecasting.state import ForecastModel
from registry.versions import ModelVersion
from serving.model import ServingModel
from serving.predictors import ArrayPredictor, Rows
from serving.snapshot import Snapshot


def load_arrays(version: ModelVersion, text: str, mode: Mode) -> ServingModel | None:
    """The model as arrays, without the history that it was fitted to; None where only the real Prophet will do.

    Raises ModelError.
    """
    try:
        model = _read(version, text)
    except Inexpressible:
        return None
    return ServingModel.registered(version, ArrayPredictor(model, _no_history, mode), model.solver)


def load_row(snapshot: Snapshot, row: int, mode: Mode) -> ServingModel:
    """A champion of the catalog, as `load_arrays` gives it."""
    return ServingModel(ArrayPredictor(snapshot.table.model(row), _no_history, mode), snapshot.info(row))


def load_any(version: ModelVersion, text: str, mode: Mode) -> ServingModel:
    """The model as arrays with its history, or the real Prophet where arrays cannot express it. Raises ModelError."""
    try:
        model = _read(version, text)
    except Inexpressible:
        return _load_prophet(version, text)
    rows = Rows(*read_history(text, model))
    return ServingModel.registered(version, ArrayPredictor(model, lambda: rows, mode), model.solver)


def _read(version: ModelVersion, text: str) -> ForecastModel:
    return ForecastModel.from_json(text, freq=version.tags.get("forecast.freq"))


def _load_prophet(version: ModelVersion, text: str) -> ServingModel:
    # Prophet takes a second to import, and few versions need it.
    from forecasting import prophet_model
    from serving.prophet_predictor import ProphetPredictor

    predictor = ProphetPredictor(prophet_model.from_json(text), f"{version.name}@{version.version}")
    return ServingModel.registered(version, predictor, prophet_model.solver_of(predictor.prophet))


def _no_history() -> Rows:
    raise ModelError("this process keeps no history; a runner does")
