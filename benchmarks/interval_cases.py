"""Prophets whose intervals are compared with a simulation of the process that Prophet documents.

Parameters are drawn, not fitted: an interval depends on them, not on how they were found, and so rare and frequent
changes, little and much noise can be had on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from prophet import Prophet
from prophet.serialize import model_to_json

from forecasting.predict import predict_draws
from forecasting.state import ForecastModel

Floats = npt.NDArray[np.float64]
_CHUNK = 20_000  # samples that are drawn at once


@dataclass(frozen=True)
class Case:
    """A real Prophet with drawn parameters, and the rows after its history.

    periods: (history, future) rows, at freq. checked: how many of the future rows, spread evenly from the first to the
    last, are compared. rates: S, the changepoints. scale: the Laplace scale of their changes. noise: sigma_obs; both
    scaled. draws: of the posterior, 1 for a point estimate.
    """

    name: str
    freq: str = "D"
    periods: tuple[int, int] = (731, 365)
    growth: str = "linear"
    mode: str = "additive"
    rates: int = 25
    scale: float = 0.08
    noise: float = 0.05
    draws: int = 1
    checked: int = 8
    seed: int = 1

    @cached_property
    def prophet(self) -> Prophet:
        """The fitted Prophet."""
        dates = pd.date_range("2022-01-01", periods=self.periods[0], freq=self.freq)
        frame = pd.DataFrame({"ds": dates, "y": np.linspace(40.0, 50.0, len(dates)), "cap": 70.0})
        made = Prophet(
            growth=self.growth,
            n_changepoints=self.rates,
            seasonality_mode=self.mode,
            weekly_seasonality=True,
            yearly_seasonality=False,
            daily_seasonality=False,
            mcmc_samples=0 if self.draws == 1 else self.draws,
        )
        made.stan_backend = _Drawn(self)
        return made.fit(frame)

    @cached_property
    def model(self) -> ForecastModel:
        """The same as arrays."""
        return ForecastModel.from_json(model_to_json(self.prophet))

    @cached_property
    def future(self) -> pd.DataFrame:
        """The rows after the history, with the cap that logistic growth needs."""
        future: pd.DataFrame = self.prophet.make_future_dataframe(self.periods[1], self.freq, include_history=False)
        return future.assign(cap=70.0)

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """The positions of the rows that are compared."""
        return np.unique(np.linspace(0, self.periods[1] - 1, self.checked).astype(np.int64))

    @property
    def is_logistic(self) -> bool:
        """Whether the looser bars for logistic growth hold."""
        return self.growth == "logistic"

    def rows(self) -> tuple[npt.NDArray[np.int64], dict[str, Floats]]:
        """The compared rows as `forecast` takes them: ds in nanoseconds, and the columns."""
        chosen = self.future.iloc[self.places]
        ds = chosen["ds"].to_numpy().astype("M8[ns]").astype(np.int64)
        return ds, {"cap": chosen["cap"].to_numpy(dtype=np.float64)} if self.is_logistic else {}


CASES = (
    Case("daily"),
    Case("daily, multiplicative", mode="multiplicative", scale=0.2),
    Case("rare changes", rates=2, scale=0.5, noise=0.02),
    Case("frequent changes", rates=150, scale=0.03),
    Case("hourly", freq="h", periods=(2000, 720), scale=0.3),
    Case("every 5 minutes", freq="5min", periods=(8640, 288), scale=1.5, noise=0.01),
    Case("monthly, far ahead", freq="MS", periods=(60, 180), rates=10),
    Case("little noise", noise=1e-4),
    Case("much noise", noise=0.5),
    Case("flat", growth="flat"),
    Case("logistic", growth="logistic", scale=0.3, noise=0.01),
    Case("logistic, rare changes", growth="logistic", rates=2, scale=0.6, noise=0.03),
    Case("logistic, multiplicative, hourly", "h", (2000, 720), "logistic", "multiplicative", scale=0.5, noise=0.02),
    Case("posterior draws", draws=60),
    Case("posterior draws, flat", growth="flat", draws=60),
    Case("posterior draws, logistic", growth="logistic", scale=0.3, draws=20),
)


class _Drawn:
    """A Stan backend that answers with a case's parameters."""

    stan_fit = None

    def __init__(self, case: Case) -> None:
        self._case = case

    def fit(self, _init: Any, data: Any, **_: Any) -> dict[str, Any]:
        case, random = self._case, np.random.default_rng(self._case.seed)
        wobble = random.normal(size=case.draws) if case.draws > 1 else np.zeros(1)
        # Changes of alternating sign whose mean size is the scale, so that the trend stays where it is.
        signs = np.resize([1.0, -1.0], data["S"]) * random.permuted(np.linspace(0.5, 1.5, data["S"]))
        parameters = {
            "k": (0.8 if case.growth == "logistic" else 0.2) + 0.05 * wobble,
            "m": 0.5 + 0.02 * wobble,
            "sigma_obs": case.noise * np.exp(0.1 * wobble),
        }
        if case.draws == 1:  # as Prophet's optimiser gives them
            parameters = {name: values[:, None] for name, values in parameters.items()}
        return parameters | {
            "delta": case.scale * np.exp(0.3 * wobble)[:, None] * signs,
            "beta": np.repeat(random.normal(0, 0.05, (1, data["K"])), case.draws, axis=0),
        }

    def sampling(self, init: Any, data: Any, _samples: int, **options: Any) -> dict[str, Any]:
        return self.fit(init, data, **options)


def simulate(
    model: ForecastModel, ds: npt.NDArray[np.int64], columns: Mapping[str, Floats], samples: int, seed: int
) -> Floats:
    """(samples, rows) observations of the documented process, with changes at the times of a Poisson process.

    samples: a multiple of 20,000. Nothing here is shared with the closed form but the forecast itself.
    """
    random = np.random.default_rng(seed)
    draws = predict_draws(model, ds, columns)
    ahead = np.maximum((ds - model.start) / model.t_scale - 1.0, 0.0)
    parts = []
    for _ in range(samples // _CHUNK):
        draw = random.integers(model.n_draws, size=_CHUNK)
        moved = _displaced(model, ahead, draw, random)
        yhat, factor = draws.yhat[:, draw].T, 1.0 + draws.multiplicative[:, draw].T
        if model.growth == "logistic":
            theta = draws.theta[:, draw].T
            room = np.asarray(columns["cap"]) - model.constant_floor
            moved = room * (1 / (1 + np.exp(-theta - moved)) - 1 / (1 + np.exp(-theta)))
        else:
            moved = moved * model.y_scale
        noise = random.normal(size=moved.shape) * model.sigma_obs[draw][:, None] * model.y_scale
        parts.append(yhat + factor * moved + noise)
    return np.concatenate(parts)


def _displaced(model: ForecastModel, ahead: Floats, draw: npt.NDArray[np.int64], random: np.random.Generator) -> Floats:
    """(samples, rows): by how much the scaled trend, or its exponent, has left its line."""
    rate = 0.0 if model.growth == "flat" else model.n_changepoints
    count = random.poisson(rate * ahead.max(), size=len(draw))
    real = np.arange(max(int(count.max()), 1)) < count[:, None]
    when = random.random(real.shape) * ahead.max()
    delta = random.laplace(size=real.shape) * model.laplace_scale[draw][:, None] * real
    return np.stack([(delta * np.maximum(at - when, 0)).sum(axis=1) for at in ahead], axis=1)
