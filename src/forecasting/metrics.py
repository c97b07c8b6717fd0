"""Forecast accuracy, each measure as a pure function of arrays; NaN where it is undefined.

actual, forecast, lower and upper have one element a forecast row. The error's sign is forecast - actual.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def mase(actual: Floats, forecast: Floats, train: Floats, season: int) -> float:
    """Mean absolute scaled error: 1 is as far off as repeating the last season was inside the training rows.

    train: the training values on their grid, NaN where a date is missing. Where no two of them are a season apart,
    the step before takes the season's place. Undefined when the training values never change.
    Source: Hyndman and Koehler (2006), "Another look at measures of forecast accuracy", Int. J. Forecasting 22(4),
    with the seasonal scale of Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., 5.8.
    """
    return scaled_error(actual, forecast, naive_scale(train, season))


def naive_scale(train: Floats, season: int) -> float:
    """The unit of the mean absolute scaled error, in the unit of y: what it costs to repeat the last season."""
    scale = _naive_error(train, season)
    return _naive_error(train, 1) if np.isnan(scale) else scale


def scaled_error(actual: Floats, forecast: Floats, scale: float) -> float:
    """`mase` where the scale is known from another forecast of the same rows."""
    return float(np.mean(np.abs(forecast - actual)) / scale) if len(actual) and scale > 0 else float("nan")


def smape(actual: Floats, forecast: Floats) -> float:
    """Symmetric mean absolute percentage error as a share, from 0 to 2; a row of two zeros has no error.

    Source: Makridakis, Spiliotis and Assimakopoulos (2020), "The M4 Competition", Int. J. Forecasting 36(1).
    """
    error, size = np.abs(forecast - actual), np.abs(forecast) + np.abs(actual)
    shares = np.divide(2 * error, size, out=np.zeros_like(error), where=size > 0)
    return float(np.mean(shares)) if len(actual) else float("nan")


def wape(actual: Floats, forecast: Floats) -> float:
    """Weighted absolute percentage error as a share: the errors' sum over the actuals'. Undefined if all are 0.

    Source: Kolassa and Schuetz (2007), "Advantages of the MAD/Mean ratio over the MAPE", Foresight 6.
    """
    size = float(np.sum(np.abs(actual)))
    return float(np.sum(np.abs(forecast - actual)) / size) if size > 0 else float("nan")


def bias(actual: Floats, forecast: Floats) -> float:
    """Mean error in the unit of y, positive when the forecast is too high.

    Source: the mean error (ME) of Hyndman and Koehler (2006), with the sign turned.
    """
    return float(np.mean(forecast - actual)) if len(actual) else float("nan")


def coverage(actual: Floats, lower: Floats, upper: Floats) -> float:
    """The share of actuals inside the prediction interval, its ends included.

    Source: prophet.diagnostics.coverage; it is good when it is near the interval's nominal width.
    """
    return float(np.mean((lower <= actual) & (actual <= upper))) if len(actual) else float("nan")


def _naive_error(train: Floats, lag: int) -> float:
    """The mean absolute change over a lag inside the training rows; NaN without a pair that far apart."""
    changes = np.abs(train[lag:] - train[:-lag])
    known = changes[~np.isnan(changes)]
    return float(np.mean(known)) if len(known) else float("nan")
