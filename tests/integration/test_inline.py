"""Inline histories from the worker's door to the answer: as training would have it, and within limits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.fit import _Fitter
from registry.registry import Registry
from serving.backend import WorkerBackend
from serving.metrics import Metrics
from serving.outcomes import Answer, Outcome, Refusal
from serving.schemas import Forecast, ForecastRequest
from serving.settings import Settings
from tests.integration.outcomes import as_forecast
from tests.integration.runners import LocalRunners
from training.config import load_config
from training.job import run_job


def _dates(start: str, rows: int, freq: str) -> list[str]:
    return [stamp.isoformat() for stamp in pd.date_range(start, periods=rows, freq=freq)]


def _series() -> dict[str, tuple[list[str], list[float]]]:
    """Histories that training treats differently, by what is special about them."""
    random, day = np.random.default_rng(5), np.arange(731)
    daily = 100 + 0.05 * day + 8 * np.sin(2 * np.pi * day / 7) + random.normal(0, 4, 731)
    walk = np.cumsum(np.random.default_rng(3).normal(0, 1, 200))
    month = np.arange(60)
    monthly = 200 + month + 40 * np.sin(2 * np.pi * month / 12) + random.normal(0, 8, 60)
    hour = np.arange(24 * 9)
    hourly = 10 + np.sin(hour * np.pi / 12) + random.normal(0, 0.1, 24 * 9)
    gaps = [text for place, text in enumerate(_dates("2023-01-01", 130, "D")) if place % 11]
    return {
        "two years of days": (_dates("2023-01-01", 731, "D"), daily.tolist()),
        "months": (_dates("2019-01-01", 60, "MS"), monthly.tolist()),
        "negative": (_dates("2023-01-02", 90, "W-MON"), (walk[:90] - 50).tolist()),
        "hours": (
            _dates("2024-03-01", 24 * 9, "h"),
            hourly.tolist(),
        ),
        "gaps": (gaps, (daily[: len(gaps)]).round(1).tolist()),
        "too short for a backtest": (_dates("2024-01-01", 12, "D"), walk[:12].tolist()),
        "two points": (_dates("2024-01-01", 2, "D"), [3.0, 5.0]),
        **{
            f"walk {seed}": (
                _dates("2023-06-01", 120, "D"),
                np.cumsum(np.random.default_rng(seed).normal(0, 1, 120)).tolist(),
            )
            for seed in range(8)
        },
    }


def _ask(backend: WorkerBackend, *requests: ForecastRequest) -> list[Outcome]:
    async def together() -> list[Outcome]:
        return list(await asyncio.gather(*map(backend.forecast, requests)))

    return asyncio.run(together())


def _forecast(outcome: Outcome) -> Forecast:
    assert isinstance(outcome, Answer), outcome
    return as_forecast(outcome)


def _inline(ds: list[str], y: list[float], **asked: object) -> ForecastRequest:
    data = [{"ds": text, "y": value} for text, value in zip(ds, y, strict=True)]
    return ForecastRequest.model_validate({"data": data, **asked})


def test_an_inline_history_gets_what_a_champion_trained_on_it_would_say(registry: Registry, tmp_path: Path) -> None:
    """yhat, both bounds at two widths and every component, of all kinds of histories in one batch."""
    series = _series()
    rows = [
        {"segment": segment, "ds": text, "y": value}
        for segment, (ds, y) in series.items()
        for text, value in zip(ds, y, strict=True)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "history.csv", index=False)
    report = run_job(load_config(None, {"source.path": str(tmp_path / "history.csv"), "workers": 1}), registry)
    assert report.segments.count("failed") == 0
    backend = WorkerBackend(LocalRunners(registry, Settings()), registry, Settings())
    asked = {"periods": 20, "components": True}
    for width in (None, 0.95):
        named = [ForecastRequest(model_id=key, version=1, interval_width=width, **asked) for key in series]
        brought = [_inline(ds, y, interval_width=width, **asked) for ds, y in series.values()]
        trained, inline = (list(map(_forecast, _ask(backend, *requests))) for requests in (named, brought))
        for key, theirs, ours in zip(series, trained, inline, strict=True):
            assert [row.ds for row in ours.forecast] == [row.ds for row in theirs.forecast], key
            for column in ("yhat", "yhat_lower", "yhat_upper"):
                np.testing.assert_allclose(
                    [getattr(row, column) for row in ours.forecast],
                    [getattr(row, column) for row in theirs.forecast],
                    rtol=1e-9,
                    atol=1e-9,
                    err_msg=f"{column} of {key}",
                )
            assert ours.components is not None
            assert theirs.components is not None
            assert ours.components.keys() == theirs.components.keys()
            for name, values in ours.components.items():
                np.testing.assert_allclose(values, theirs.components[name], rtol=1e-9, atol=1e-9)
            assert (ours.model.solver, ours.model.trained_through) == (
                theirs.model.solver,
                theirs.model.trained_through,
            )
            assert ours.model.version is None
    recipes = {registry.version(key, 1).tags["forecast.recipe"] for key in series}
    assert recipes == {"damped-average", "stock"}


@pytest.mark.parametrize("season", [1, 7])
def test_a_history_without_noise_is_fitted_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, season: int
) -> None:
    """The exact solver has no optimum for it, and cmdstan would take seconds for all of a backtest's cutoffs."""
    fits: list[int] = []
    actual = _Fitter.by_cmdstan
    monkeypatch.setattr(_Fitter, "by_cmdstan", lambda fitter, y, more: fits.append(len(y)) or actual(fitter, y, more))
    backend = WorkerBackend(LocalRunners(registry, Settings()), registry, Settings())
    y = [100.0 + day % season for day in range(67)]
    [outcome] = _ask(backend, _inline(_dates("2024-01-01", 60, "D"), y[:60], periods=7))
    answer = _forecast(outcome)
    assert [row.yhat for row in answer.forecast] == pytest.approx(y[60:], abs=1e-2)
    assert (answer.model.solver, fits) == ("cmdstan", [60])


def test_the_rows_of_an_inline_history_come_first_where_they_are_asked_for(registry: Registry) -> None:
    """From the worker's own arrays: the dates as they were sent, the future rows as without them."""
    ds, y = _series()["two years of days"]
    runners = LocalRunners(registry, Settings())
    backend = WorkerBackend(runners, registry, Settings())
    [whole] = _ask(backend, _inline(ds, y, periods=5, include_history=True))
    [ahead] = _ask(backend, _inline(ds, y, periods=5))
    rows = _forecast(whole).forecast
    assert [row.ds for row in rows[:731]] == [text[:10] for text in ds]
    assert rows[731:] == _forecast(ahead).forecast
    assert np.corrcoef([row.yhat for row in rows[:731]], y)[0, 1] > 0.8
    [many] = _ask(backend, _inline(ds, y, periods=5000, include_history=True))
    assert _forecast(many).forecast[:736] == rows
    assert (len(runners.fitted), runners.asked) == (1, [])


def test_bad_histories_are_refused_one_by_one(registry: Registry) -> None:
    """Their neighbours of the same call get their forecasts; asked again, neither costs a runner anything."""
    runners = LocalRunners(registry, Settings())
    metrics = Metrics(multiprocess=False)
    backend = WorkerBackend(runners, registry, Settings(runner_calls=1, runner_max_batch=32), metrics=metrics)
    ds, y = _dates("2024-01-01", 30, "D"), [float(day % 7) for day in range(30)]
    requests = [
        _inline(ds, y, periods=2),
        _inline(ds[::-1], y),
        _inline(ds[:1], y[:1]),
        _inline(ds[:5], [1.7e308, -1.7e308, 0.0, 0.0, 0.0]),
        _inline(ds[:5], y[:5], periods=2),
    ]
    for _ in range(2):
        outcomes = _ask(backend, *requests)
        codes = [outcome.code if isinstance(outcome, Refusal) else "forecast" for outcome in outcomes]
        assert codes == ["forecast", "invalid_history", "too_few_points", "unfittable_history", "forecast"]
    assert len(runners.fitted) == 5
    assert b'forecast_fits_total{found="kept"} 5.0' in bytes(metrics.exposition().body)


def test_a_batch_beyond_what_may_wait_is_refused_item_by_item(registry: Registry) -> None:
    """Each with its own code and when to come again; the others get their forecasts."""
    backend = WorkerBackend(
        LocalRunners(registry, Settings()), registry, Settings(runner_calls=1, runner_max_batch=1, runner_queue=3)
    )
    ds = _dates("2024-01-01", 30, "D")
    outcomes = _ask(backend, *(_inline(ds, [float(day % 7 + number) for day in range(30)]) for number in range(10)))
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    assert {outcome.code for outcome in refused} == {"overloaded"}
    assert all(outcome.retry_after is not None and outcome.retry_after >= 1 for outcome in refused)
    assert [isinstance(outcome, Answer) for outcome in outcomes] == [True] * 3 + [False] * 7
