"""The history inside Prophet's own JSON: the rows that a model was fitted to, which a ForecastModel does not keep."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from forecasting.errors import ModelError
from forecasting.state import ForecastModel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def read_history(text: str, model: ForecastModel) -> tuple[Integers, dict[str, Floats]]:
    """The dates (rows,), ascending, in nanoseconds, and `model.required_columns`, each (rows,) in its own unit.

    text: the JSON that the model was read from. Raises ModelError when it holds no such history.
    """
    ds, columns = _read(text, model.required_columns)
    # Prophet remembers its regressors standardised, and its predict would standardise them again.
    for place, term in enumerate(model.features.regressors):
        columns[term.name] = columns[term.name] * model.regressor_std[place] + model.regressor_mean[place]
    return ds, columns


def read_observations(text: str) -> tuple[Integers, Floats]:
    """The dates (rows,) as `read_history` has them, and y (rows,). Raises ModelError as it does."""
    ds, columns = _read(text, ["y"])
    return ds, columns["y"]


def _read(text: str, names: Iterable[str]) -> tuple[Integers, dict[str, Floats]]:
    try:
        state = json.loads(text)
        rows = json.loads((json.loads(state) if isinstance(state, str) else state)["history"])["data"]
        ds = np.array([row["ds"].removesuffix("Z") for row in rows], dtype="M8[ns]").astype(np.int64)
        return ds, {name: _numbers(rows, name) for name in names}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"no history in this JSON: {type(error).__name__}: {error}") from error


def _numbers(rows: list[dict[str, Any]], name: str) -> Floats:
    return np.array([row[name] for row in rows], dtype=np.float64)
