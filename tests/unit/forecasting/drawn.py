"""Prophets with drawn parameters over everything that a Prophet can be told, for the tests that compare with it.

Parameters are drawn, not fitted: a forecast must agree wherever they lie, and a fit costs a hundred times as much.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from prophet import Prophet

MODES = st.sampled_from(["additive", "multiplicative"])
FREQUENCIES = st.sampled_from(["D", "h", "15min", "W", "MS", "ME", "QS", "YS", "B", "BMS", "2W-SUN", "3h"])
COUNTRIES = st.sampled_from(["US", "DE", "TU", "UnitedKingdom", "FR", "NYSE"])
OTHER_YEARS = pd.DatetimeIndex(["1995-12-25 00:00", "1995-07-04 06:00", "2060-12-25 18:30", "2060-01-01 00:00"])


class Drawn:
    """A Stan backend that answers with random parameters, in the shapes of Prophet's optimiser or sampler."""

    stan_fit = None

    def __init__(self, seed: int, draws: int, spread: float) -> None:
        self._random, self._draws, self._spread = np.random.default_rng(seed), draws, spread

    def fit(self, _init: Any, data: Any, **_: Any) -> dict[str, Any]:
        """Parameters for the data of Prophet.preprocess."""
        return {
            "k": self._scalar(1.0),
            "m": self._scalar(1.0),
            "delta": self._normal(data["S"], self._spread),
            "beta": self._normal(data["K"], 0.3),
            "sigma_obs": np.abs(self._scalar(0.1)) + 0.01,
        }

    def _normal(self, columns: int, scale: float) -> np.ndarray:
        return self._random.normal(0, scale, (self._draws, columns))

    def _scalar(self, scale: float) -> np.ndarray:  # the sampler gives these one dimension, the optimiser two
        return self._normal(1, scale)[:, 0] if self._draws > 1 else self._normal(1, scale)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Prophet, pd.DataFrame]:
    """A Prophet with drawn parameters, and rows for it: before, inside and after its history, some twice, shuffled.

    Its bounds are there (uncertainty_samples) except where Prophet's own sampler fails: logistic growth with
    changepoints after the history.
    """
    seed, freq, n = draw(st.integers(0, 2**32 - 1)), draw(FREQUENCIES), draw(st.integers(2, 60))
    random, growth = np.random.default_rng(seed), draw(st.sampled_from(["linear", "logistic", "flat"]))
    dates = pd.date_range("2018-11-20", periods=2 * n, freq=freq).as_unit("ns")
    history = slice(n // 4, n // 4 + n)
    frame = pd.DataFrame({"ds": dates.append(OTHER_YEARS.as_unit("ns"))})
    frame["y"] = 40 + random.normal(0, 5, len(frame))
    model = Prophet(
        growth=growth,
        **draw(_changepoints(dates[history])),
        seasonality_mode=draw(MODES),
        holidays_mode=draw(st.none() | MODES),
        scaling=draw(st.sampled_from(["absmax", "minmax"])),
        holidays=draw(st.none() | _holidays(dates)),
        holidays_prior_scale=draw(st.sampled_from([0.5, 10.0])),
        weekly_seasonality=draw(st.booleans()),
        yearly_seasonality=draw(st.sampled_from([False, 4])),
        daily_seasonality=draw(st.sampled_from([False, 2])),
        interval_width=draw(st.sampled_from([0.5, 0.8, 0.95])),
        uncertainty_samples=20,
    )
    if draw(st.booleans()):
        model.add_country_holidays(draw(COUNTRIES))
    _add_seasonalities(draw, model, frame, random)
    _add_regressors(draw, model, frame, random)
    if growth == "logistic":
        frame["cap"] = np.linspace(90, 120, len(frame))
        if draw(st.booleans()):
            frame["floor"] = np.linspace(1, 5, len(frame))
    model.stan_backend = Drawn(seed, draw(st.sampled_from([1, 1, 5])), draw(st.sampled_from([1e-9, 0.1])))
    model.fit(_with_gap(draw, frame.iloc[history].copy()))
    if draw(st.booleans()):
        _damp(model)
    rows = frame.drop(columns="y").sample(n=len(frame) + 3, replace=True, random_state=seed % 2**31)
    return model, rows.reset_index(drop=True)


@st.composite
def _changepoints(draw: st.DrawFn, history: pd.DatetimeIndex) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"n_changepoints": draw(st.integers(0, 12)), "changepoint_range": draw(st.sampled_from([0.5, 0.8, 1.0]))}
    places = draw(st.lists(st.integers(0, max(0, len(history) - 2)), max_size=4))
    return {"changepoints": list(history[places])}


@st.composite
def _holidays(draw: st.DrawFn, dates: pd.DatetimeIndex) -> pd.DataFrame:
    """Listed holidays, one of which a country may know too; with windows, half a window, prior scales, or without."""
    places = draw(st.lists(st.integers(0, len(dates) - 1), min_size=4, max_size=4))
    names = ["Christmas Day", "fair", "fair", "Zoo's night"]
    holidays = pd.DataFrame({"holiday": names, "ds": dates[places].normalize()})
    holidays.loc[len(holidays)] = ["fair", pd.Timestamp("2060-12-24")]
    if draw(st.booleans()):
        holidays["lower_window"] = [-2, -1, -1, np.nan, 0]
        holidays["upper_window"] = [0, 11, 11, 1, 3]
    if draw(st.booleans()):
        holidays["prior_scale"] = [np.nan, 2.0, 2.0, 0.1, 2.0]
    return holidays


def _add_seasonalities(draw: st.DrawFn, model: Prophet, frame: pd.DataFrame, random: np.random.Generator) -> None:
    if draw(st.booleans()):
        model.add_seasonality("odd", 11.3, 3, mode=draw(MODES), condition_name="is_odd")
        frame["is_odd"] = random.random(len(frame)) < 0.5
    if draw(st.booleans()):  # under a standard name, with a condition that others may share
        condition = draw(st.sampled_from([None, *(["is_odd"] if "is_odd" in frame else [])]))
        model.add_seasonality("weekly", 7, 2, mode=draw(MODES), condition_name=condition)


def _add_regressors(draw: st.DrawFn, model: Prophet, frame: pd.DataFrame, random: np.random.Generator) -> None:
    rows = len(frame)
    found = {"price": random.normal(3, 2, rows), "promo": random.integers(0, 2, rows), "rent": np.full(rows, 3.5)}
    for name in draw(st.lists(st.sampled_from(sorted(found)), unique=True)):
        model.add_regressor(name, mode=draw(MODES), standardize=draw(st.sampled_from(["auto", True, False])))
        frame[name] = found[name]


def _with_gap(draw: st.DrawFn, history: pd.DataFrame) -> pd.DataFrame:
    """Some histories name a last date without a y; every date counts for the future, only those with a y for t."""
    if len(history) > 3 and draw(st.booleans()):
        history.loc[history.index[-1], "y"] = np.nan
    return history


def _damp(model: Prophet) -> None:
    """Put two changepoints past the history, which bend the trend of the future (research/accuracy.md)."""
    late = [1.0, 1.2]
    model.changepoints_t = np.append(model.changepoints_t, late)
    model.params["delta"] = np.hstack([model.params["delta"], np.full((len(model.params["delta"]), 2), 0.05)])
    if model.growth == "logistic":
        model.uncertainty_samples = 0


def columns_of(rows: pd.DataFrame) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rows as `predict` takes them: dates in nanoseconds, and the other columns by name."""
    ds = rows["ds"].to_numpy().astype("M8[ns]").astype(np.int64)
    return ds, {str(name): rows[name].to_numpy() for name in rows.columns if name != "ds"}


def assert_near(got: np.ndarray, expected: pd.Series[float] | np.ndarray, name: str) -> None:
    """Within 1e-9 of the column's largest value, the measure of a sum whose terms cancel."""
    wanted = np.asarray(expected)
    size = max(float(np.abs(wanted).max()), 1e-9)
    assert np.max(np.abs(got - wanted)) <= 1e-9 * size, name
