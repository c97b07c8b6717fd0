"""Intervals as wide as a backtest says they must be, and how good an interval is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forecasting.state import Calibration, ForecastModel

Floats = npt.NDArray[np.float64]

_WIDEST = 10.0  # the most by which a segment's own residuals may ask for wider or narrower intervals


def calibrate(model: ForecastModel, own_weight: float, ratios: Floats) -> Calibration | None:
    """The calibration of a model that `fit_recipe` or `average` made, refined by its segment's backtest.

    ratios: (n,) `residual_ratios` of rows after rolling cutoffs, forecast by models made likewise of the rows before
    them; such as are not finite are left out. The factor that would have let interval_width of them in is taken to
    the power of own_weight (`Recipe.own_weight`): with 1/2 the geometric mean of the segment's own width and that of
    all segments. None where the recipe leaves intervals alone.
    """
    known = ratios[np.isfinite(ratios)]
    if own_weight == 0.0 or len(known) == 0:
        return model.calibration
    own = float(np.clip(np.quantile(known, model.interval_width), 1.0 / _WIDEST, _WIDEST))
    base = model.calibration or Calibration.overall(1.0)
    return Calibration(base.horizons, base.factors * own**own_weight)


def residual_ratios(actual: Floats, yhat: Floats, lower: Floats, upper: Floats) -> Floats:
    """How many half-widths each actual is away from its forecast, (rows,); NaN where both are 0."""
    half = (upper - lower) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.abs(actual - yhat) / half)


def interval_score(actual: Floats, lower: Floats, upper: Floats, interval_width: float) -> float:
    """The mean interval score in the unit of y, the lower the better: the width and, outside, 2 / alpha of the miss.

    alpha = 1 - interval_width. Only the quantiles of the truth minimise its expectation.
    Source: Gneiting and Raftery (2007), "Strictly proper scoring rules, prediction, and estimation", J. American
    Statistical Association 102(477), section 6.2.
    """
    miss = np.maximum(lower - actual, 0.0) + np.maximum(actual - upper, 0.0)
    return float(np.mean(upper - lower + 2.0 / (1.0 - interval_width) * miss))
