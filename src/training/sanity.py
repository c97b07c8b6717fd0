"""Whether what a model forecasts next can be true, judged by its history alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from forecasting.forecast import forecast
from forecasting.future import make_future
from forecasting.state import ForecastModel

Floats = npt.NDArray[np.float64]

_LEAST_RANGE = 0.01  # of the height; below it the solver's last digits would count


def reach(model: ForecastModel, y: Floats, columns: Mapping[str, Floats], horizon: int) -> float:
    """How far the forecast of the next rows leaves the history's range, in ranges: 0 inside, infinite if not finite.

    y, columns: the history's, (T,) each; regressors, caps and floors are taken to go on as in its last rows. horizon:
    how many rows are forecast, but not more than there are in the history: no trend is known for longer than it was
    seen. A history that hardly changes counts as if it did by a hundredth of its height. NaN where the calendar ends
    before the rows do.
    """
    rows = min(horizon, len(y))
    try:
        ahead = make_future(model, rows)
    except ValueError:
        return float("nan")
    with np.errstate(over="ignore", invalid="ignore"):
        found = forecast(model, ahead, {name: columns[name][-rows:] for name in model.required_columns})
    if not all(np.isfinite(values).all() for values in (found.yhat, found.yhat_lower, found.yhat_upper)):
        return float("inf")
    lowest, highest = float(y.min()), float(y.max())
    beyond = max(float(found.yhat.max()) - highest, lowest - float(found.yhat.min()), 0.0)
    return beyond / (max(highest - lowest, _LEAST_RANGE * max(abs(lowest), abs(highest))) or 1.0)
