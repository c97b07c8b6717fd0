"""Compatible intervals are those of Prophet's own sampler, asked for so many samples that its noise is small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from prophet.serialize import model_to_json

from benchmarks.interval_cases import Case
from forecasting.errors import RowsError
from forecasting.forecast import forecast, quantiles
from forecasting.intervals import Mode
from forecasting.state import ForecastModel

SAMPLES = 20_000
MONTHLY = Case("monthly", freq="MS", periods=(60, 24), rates=8)
LOGISTIC = Case("logistic", "MS", (60, 24), "logistic", "multiplicative", rates=8, scale=0.6, noise=0.02)
CASES = {
    "daily": (Case("daily", periods=(731, 60)), slice(None)),
    "multiplicative, from the middle of the future on": (
        Case("far", periods=(731, 365), mode="multiplicative", scale=0.2),
        slice(300, 330),
    ),
    "monthly, with part of the history": (MONTHLY, slice(None)),
    "every third month": (MONTHLY, slice(0, None, 3)),
    "a single row": (MONTHLY, slice(10, 11)),
    "posterior draws": (replace(MONTHLY, draws=20), slice(None)),
    "flat": (replace(MONTHLY, growth="flat"), slice(None)),
    "logistic": (LOGISTIC, slice(None)),
    "logistic, single row": (LOGISTIC, slice(10, 11)),
    "logistic, uneven": (LOGISTIC, [0, 1, 5, 6, 7, 15, 20]),
    "logistic, posterior draws": (replace(LOGISTIC, draws=20), slice(None)),
}


def _rows(case: Case, chosen: object) -> pd.DataFrame:
    """The chosen future rows, after two of the history's where the case says so."""
    rows = case.future.iloc[chosen]
    past = case.prophet.history[["ds", "cap"]].iloc[[20, -1]] if case is MONTHLY else rows.iloc[:0]
    return pd.concat([past, rows], ignore_index=True)


def _arrays(rows: pd.DataFrame) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    return rows["ds"].to_numpy().astype("M8[ns]").astype(np.int64), {"cap": rows["cap"].to_numpy(dtype=float)}


@pytest.mark.parametrize("name", CASES)
def test_bounds_are_the_default_samplers(name: str) -> None:
    """Each within 4 % of the interval, some five standard errors, and 1.5 % on average; rows in any order."""
    case, chosen = CASES[name]
    rows = _rows(case, chosen)
    prophet = case.prophet
    np.random.seed(5)
    prophet.uncertainty_samples = SAMPLES
    expected = prophet.predict(rows)
    order = np.random.default_rng(2).permutation(len(rows))
    got = forecast(case.model, *_arrays(rows.iloc[order]), mode=Mode.COMPAT)
    width = (expected["yhat_upper"] - expected["yhat_lower"]).to_numpy()
    for column in ("yhat_lower", "yhat_upper", "trend_lower", "trend_upper"):
        error = (getattr(got, column) - expected[column].to_numpy()[order]) / width[order]
        assert np.max(np.abs(error)) < 0.04, column
        assert abs(error.mean()) < 0.015, column


def test_a_compatible_interval_depends_on_the_rows_asked_for() -> None:
    """As Prophet's: the same day is narrower when nothing before it is asked for. The process's is not."""
    case, _ = CASES["multiplicative, from the middle of the future on"]
    ds, _ = _arrays(case.future)
    whole, last = (forecast(case.model, own, mode=Mode.COMPAT) for own in (ds, ds[-1:]))
    assert last.yhat_upper[0] - last.yhat[0] < 0.5 * (whole.yhat_upper[-1] - whole.yhat[-1])
    assert forecast(case.model, ds[-1:]).yhat_upper[0] == forecast(case.model, ds).yhat_upper[-1]


def test_compatible_quantiles_increase_and_twice_are_identical() -> None:
    """Deterministic, unlike the sampler."""
    for case in (MONTHLY, LOGISTIC):
        rows = _arrays(case.future)
        first, second = (quantiles(case.model, *rows, (0.05, 0.3, 0.5, 0.7, 0.95), mode=Mode.COMPAT) for _ in range(2))
        assert np.all(np.diff(first, axis=1) > 0)
        assert first.tobytes() == second.tobytes()


def test_where_prophet_fails_a_compatible_interval_is_refused() -> None:
    """Logistic growth with all rows at one time or a changepoint after the history; a history of unknown length."""
    ds, columns = _arrays(LOGISTIC.future.iloc[[3, 3]])
    with pytest.raises(RowsError, match="at one time"):
        forecast(LOGISTIC.model, ds, columns, mode=Mode.COMPAT)
    model = LOGISTIC.model
    later = replace(
        model,
        changepoints_t=np.append(model.changepoints_t, 1.5),
        delta=np.append(model.delta, [[0.1]], axis=1),
    )
    with pytest.raises(RowsError, match="changepoint after the history"):
        forecast(later, *_arrays(LOGISTIC.future), mode=Mode.COMPAT)
    with pytest.raises(RowsError, match="how many rows"):
        forecast(replace(MONTHLY.model, n_history=0), *_arrays(MONTHLY.future.iloc[:1]), mode=Mode.COMPAT)


def test_only_history_has_only_noise() -> None:
    """No future row, no step to count by."""
    case = MONTHLY
    rows = case.prophet.history[["ds", "cap"]]
    got, expected = forecast(case.model, *_arrays(rows), mode=Mode.COMPAT), forecast(case.model, *_arrays(rows))
    np.testing.assert_allclose(got.yhat_upper, expected.yhat_upper, rtol=1e-12)
    model = ForecastModel.from_json(model_to_json(case.prophet))
    assert model.n_history == len(rows)
