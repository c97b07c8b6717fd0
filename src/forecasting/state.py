"""A fitted Prophet as arrays: what a forecast needs and nothing else, one to two kilobytes a segment.

D is the number of posterior draws, 1 for a point estimate; S the changepoints, K the columns of the design matrix,
C the components, R the regressors. Scaled time t is (ds - start) / t_scale; scaled y is (y - floor) / y_scale.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from forecasting.errors import ModelError
from forecasting.features import FeatureTable
from forecasting.trend import GROWTHS, Floats, Growth, Lines, lines

Scaling = Literal["absmax", "minmax"]
Integers = npt.NDArray[np.int64]

_ARRAYS = ("k", "m", "delta", "beta", "sigma_obs", "changepoints_t", "regressor_mean", "regressor_std")


def _none() -> Floats:
    return np.empty(0)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Factors on the half-width of the prediction interval, as a backtest found them.

    horizons: (H,) scaled time past the end of the history, ascending; factors: (H,), one each. Between horizons the
    factor is interpolated, beyond them the nearest holds; a single one holds everywhere.
    """

    horizons: Floats
    factors: Floats

    def __post_init__(self) -> None:
        if len(self.factors) == 0 or self.factors.ndim != 1 or self.factors.shape != self.horizons.shape:
            raise ModelError("a calibration needs one factor for each of its horizons, and at least one")
        if not (np.isfinite(self.factors).all() and np.isfinite(self.horizons).all()):
            raise ModelError("a calibration needs finite numbers")
        if np.any(self.factors <= 0) or np.any(np.diff(self.horizons) <= 0):
            raise ModelError("a calibration needs positive factors at ascending horizons")

    @classmethod
    def overall(cls, factor: float) -> Calibration:
        """One factor for every horizon."""
        return cls(np.zeros(1), np.array([factor]))

    def at(self, horizon: Floats) -> Floats:
        """The factor at each horizon, in scaled time past the end of the history."""
        return np.interp(horizon, self.horizons, self.factors)


@dataclass(frozen=True, eq=False)
class ForecastModel:
    """One fitted segment.

    start: the first ds, t_scale: first to last ds, last_date: the last ds that the history named, even without a y;
    all in nanoseconds, dates since 1970-01-01. y_min, y_scale: in the unit of y.
    changepoints_t: (S,) ascending. k, m, sigma_obs: (D,). delta: (D, S). beta: (D, K). All in scaled units.
    regressor_mean, regressor_std: (R,), what each regressor is standardised by.
    has_floor: whether the rows bring a floor (logistic growth only). last_cap, last_floor: those of the history's last
    row, in the unit of y, for callers who carry them on; None where there are none. n_history: the history's rows with
    a y. freq: the offset alias of the history.
    solver: what found the parameters; log_posterior: the logarithm of Stan's density there, None if not known.
    """

    growth: Growth
    start: int
    t_scale: float
    y_min: float
    y_scale: float
    changepoints_t: Floats
    k: Floats
    m: Floats
    delta: Floats
    beta: Floats
    sigma_obs: Floats
    features: FeatureTable = field(default_factory=FeatureTable)
    regressor_mean: Floats = field(default_factory=_none)
    regressor_std: Floats = field(default_factory=_none)
    scaling: Scaling = "absmax"
    has_floor: bool = False
    last_cap: float | None = None
    last_floor: float | None = None
    n_history: int = 0
    interval_width: float = 0.8
    last_date: int | None = None
    freq: str | None = None
    calibration: Calibration | None = None
    solver: str = "cmdstan"
    log_posterior: float | None = None

    def __post_init__(self) -> None:
        """Raise ModelError naming the first thing that is not as the docstring says."""
        if self.growth not in GROWTHS:
            raise ModelError(f"the growth {self.growth!r} is not one of {', '.join(GROWTHS)}")
        if self.scaling not in ("absmax", "minmax"):
            raise ModelError(f"the scaling {self.scaling!r} is neither absmax nor minmax")
        self._check_shapes()
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if not np.isfinite(np.concatenate([values.ravel() for values in arrays.values()])).all():
            broken = next(name for name, values in arrays.items() if not np.isfinite(values).all())
            raise ModelError(f"the parameter {broken} is not finite")
        for name in ("t_scale", "y_scale"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ModelError(f"{name} must be a positive number, not {getattr(self, name)}")
        if not np.isfinite(self.y_min):
            raise ModelError("y_min is not finite")
        if np.any(self.regressor_std <= 0) or np.any(self.sigma_obs < 0):
            raise ModelError("a standard deviation is not positive: sigma_obs or that of a regressor")
        if np.any(np.diff(self.changepoints_t) < 0):
            raise ModelError("the changepoints are not in ascending order")
        if not 0 < self.interval_width < 1:
            raise ModelError(f"the interval width {self.interval_width} is not between 0 and 1")
        if not (isinstance(self.solver, str) and isinstance(self.freq, str | None)):
            raise ModelError("solver and freq are texts")

    def _check_shapes(self) -> None:
        draws, n_regressors = len(self.k), len(self.features.regressors)
        if self.changepoints_t.shape != (self.n_changepoints,) or not self.n_changepoints:
            raise ModelError("a Prophet has at least one changepoint; without any it keeps one at 0 with delta 0")
        expected = {
            "k": (draws,),
            "m": (draws,),
            "sigma_obs": (draws,),
            "delta": (draws, self.n_changepoints),
            "beta": (draws, self.features.n_columns),
            "regressor_mean": (n_regressors,),
            "regressor_std": (n_regressors,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape or not draws:
                raise ModelError(f"the parameter {name} has the shape {getattr(self, name).shape}, not {shape}")

    @classmethod
    def from_json(cls, text: str, *, freq: str | None = None) -> ForecastModel:
        """Read Prophet's own JSON; see `forecasting.prophet_json.read_model`."""
        from forecasting.prophet_json import read_model  # which builds this class, so it cannot be imported above

        return read_model(text, freq=freq)

    @property
    def n_draws(self) -> int:
        """D."""
        return len(self.k)

    @property
    def n_changepoints(self) -> int:
        """S, which Prophet also takes for the rate of future changepoints a unit of scaled time."""
        return len(self.changepoints_t)

    @property
    def history_end(self) -> int:
        """The last ds with a y, in nanoseconds: t = 1."""
        return self.start + round(self.t_scale)

    @property
    def constant_floor(self) -> float:
        """The floor of every row where rows bring none: 0, or the smallest y under minmax scaling."""
        return self.y_min if self.scaling == "minmax" else 0.0

    @property
    def required_columns(self) -> tuple[str, ...]:
        """The columns beside ds that rows must carry."""
        bounds = ("cap", *(("floor",) if self.has_floor else ())) if self.growth == "logistic" else ()
        return (*(term.name for term in self.features.regressors), *bounds, *self.features.conditions)

    @cached_property
    def laplace_scale(self) -> Floats:
        """(D,): the scale of future rate changes, Prophet's mean |delta| + 1e-8."""
        scale: Floats = np.abs(self.delta).mean(axis=1) + 1e-8
        return scale

    @cached_property
    def trend_lines(self) -> Lines:
        """The trend's lines at the mean of the draws, which is where Prophet draws its trend."""
        return lines(
            self.growth, float(self.k.mean()), float(self.m.mean()), self.delta.mean(axis=0), self.changepoints_t
        )

    @cached_property
    def coefficients(self) -> Floats:
        """(K, C): what a unit of each design column adds to each component, at the mean of the draws.

        Additive components are in the unit of y, multiplicative ones are shares of the trend.
        """
        scale = np.where(self.features.is_additive, self.y_scale, 1.0)
        values: Floats = self.beta.mean(axis=0)[:, None] * self.features.membership * scale
        return values

    @cached_property
    def term_coefficients(self) -> Floats:
        """(K, 2): the columns of `coefficients` that yhat needs, additive_terms and multiplicative_terms."""
        places = [self.features.components.index(name) for name in ("additive_terms", "multiplicative_terms")]
        return np.ascontiguousarray(self.coefficients[:, places])
