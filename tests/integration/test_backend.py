"""Who answers what: HTTP workers from their own arrays, runners where that is not enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet

from forecasting import prophet_model
from forecasting.prophet_model import fit, history_rows
from registry.log import JobLog
from registry.registry import Registry
from registry.versions import ModelVersion
from serving.backend import WorkerBackend
from serving.fits import Fitted
from serving.histories import InlineHistory
from serving.outcomes import Answer, Outcome, Refusal, Refused
from serving.schemas import Forecast, ForecastRequest
from serving.settings import Settings
from tests.integration.outcomes import as_forecast
from tests.integration.runners import LocalRunners

Log = Callable[[str], ModelVersion]
IMPATIENT = Settings(champion_ttl_seconds=0)


def _forecasts(backend: WorkerBackend, *requests: ForecastRequest) -> list[Forecast]:
    async def all_of_them() -> list[Outcome]:
        return list(await asyncio.gather(*map(backend.forecast, requests)))

    outcomes = asyncio.run(all_of_them())
    assert all(isinstance(outcome, Answer) for outcome in outcomes), outcomes
    return [as_forecast(outcome) for outcome in outcomes if isinstance(outcome, Answer)]


def _promote(registry: Registry, segment: str, model: Prophet, **tags: str) -> None:
    with JobLog(registry, "test", {}) as job:
        registry.promote(segment, job.log_segment(segment, model, params={}, metrics={}, tags=tags).version)


@pytest.fixture
def runners(registry: Registry) -> LocalRunners:
    return LocalRunners(registry, IMPATIENT)


@pytest.fixture
def backend(registry: Registry, runners: LocalRunners) -> WorkerBackend:
    return WorkerBackend(runners, registry, IMPATIENT)


def test_a_registered_segment_is_forecast_without_a_runner_and_as_prophet_does(
    registry: Registry, runners: LocalRunners, backend: WorkerBackend, prophet: Prophet
) -> None:
    """yhat, trend and components, by alias and by version."""
    _promote(registry, "a", prophet)
    asked = ForecastRequest(model_id="a", periods=9, components=True)
    by_alias, by_number = _forecasts(backend, asked, asked.model_copy(update={"version": 1}))
    assert runners.asked == []
    expected = prophet.predict(prophet.make_future_dataframe(9, include_history=False))
    assert [row.ds for row in by_alias.forecast] == [f"{ds:%Y-%m-%d}" for ds in expected["ds"]]
    for answer in (by_alias, by_number):
        np.testing.assert_allclose([row.yhat for row in answer.forecast], expected["yhat"], rtol=1e-9)
        assert answer.components is not None
        assert set(answer.components) == {"trend", "weekly"}
        for name, values in answer.components.items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-9)


def test_the_history_and_what_is_not_registered_take_a_runner(
    registry: Registry, runners: LocalRunners, backend: WorkerBackend, prophet: Prophet
) -> None:
    """And a row is the same whoever answers, its interval included."""
    _promote(registry, "a", prophet)
    whole, ahead = _forecasts(
        backend,
        ForecastRequest(model_id="a", periods=3, include_history=True),
        ForecastRequest(model_id="a", periods=3),
    )
    assert [request.include_history for request in runners.asked] == [True]
    assert len(whole.forecast) == 123
    assert whole.forecast[-3:] == ahead.forecast


def test_what_arrays_cannot_express_is_answered_by_the_real_prophet(
    registry: Registry, runners: LocalRunners, backend: WorkerBackend, daily: pd.DataFrame
) -> None:
    """A regressor that brings a Prophet of its own: refused by the arrays, served all the same, as JSON keeps it."""
    model = Prophet()
    model.add_regressor("rain", regressor_predictor=True)
    model.fit(daily.assign(rain=np.sin(daily.index)))
    _promote(registry, "odd", model)
    rain = np.linspace(-1.0, 1.0, 4)
    asked = ForecastRequest(model_id="odd", periods=4, regressors={"rain": rain.tolist()})
    first, again = (_forecasts(backend, asked)[0] for _ in range(2))
    assert len(runners.asked) == 2
    kept = prophet_model.from_json(prophet_model.to_json(model))
    future = kept.make_future_dataframe(4, include_history=False).assign(rain=rain)
    np.testing.assert_allclose([row.yhat for row in first.forecast], kept.predict(future)["yhat"], rtol=1e-9)
    assert first.forecast == again.forecast
    assert first.model.solver == "cmdstan"


def test_rows_of_the_history_carry_its_regressors_as_they_were(
    registry: Registry, backend: WorkerBackend, daily: pd.DataFrame
) -> None:
    """Prophet keeps them standardised, and would standardise them once more."""
    model = Prophet()
    model.add_regressor("rain")
    rain = 5.0 + 3.0 * np.sin(daily.index.to_numpy())
    model.fit(daily.assign(rain=rain))
    _promote(registry, "rainy", model)
    [whole] = _forecasts(
        backend, ForecastRequest(model_id="rainy", periods=1, regressors={"rain": [2.0]}, include_history=True)
    )
    expected = model.predict(daily.assign(rain=rain))["yhat"]
    np.testing.assert_allclose([row.yhat for row in whole.forecast[:-1]], expected, rtol=1e-9)
    np.testing.assert_allclose(history_rows(model)["rain"], rain, rtol=1e-9)


def test_a_logistic_segment_carries_its_last_bounds_on(
    registry: Registry, backend: WorkerBackend, daily: pd.DataFrame
) -> None:
    """Until a request brings its own."""
    model = Prophet(growth="logistic").fit(daily.assign(cap=np.linspace(90, 120, 120), floor=1.0))
    _promote(registry, "full", model)
    carried, own = _forecasts(
        backend, ForecastRequest(model_id="full", periods=5), ForecastRequest(model_id="full", periods=5, cap=500.0)
    )
    rows = model.make_future_dataframe(5, include_history=False).assign(floor=1.0)
    for answer, cap in ((carried, 120.0), (own, 500.0)):
        expected = model.predict(rows.assign(cap=cap))["yhat"]
        np.testing.assert_allclose([row.yhat for row in answer.forecast], expected, rtol=1e-9)


def test_a_condition_is_asked_for_like_a_regressor(
    registry: Registry, backend: WorkerBackend, daily: pd.DataFrame
) -> None:
    """As ones and zeros; anything else is refused by name."""
    model = Prophet(weekly_seasonality=False)
    model.add_seasonality("school", 7, 3, condition_name="in_school")
    model.fit(daily.assign(in_school=daily.index < 60))
    _promote(registry, "school", model)
    flags = [1.0, 0.0, 1.0]
    [answer] = _forecasts(backend, ForecastRequest(model_id="school", periods=3, regressors={"in_school": flags}))
    rows = model.make_future_dataframe(3, include_history=False).assign(in_school=[True, False, True])
    np.testing.assert_allclose([row.yhat for row in answer.forecast], model.predict(rows)["yhat"], rtol=1e-9)
    for regressors in ({}, {"in_school": [0.5, 0.0, 1.0]}):
        outcome = asyncio.run(backend.forecast(ForecastRequest(model_id="school", periods=3, regressors=regressors)))
        assert isinstance(outcome, Refusal)
        assert "in_school" in outcome.detail


def test_the_version_says_which_solver_made_it(registry: Registry, backend: WorkerBackend, daily: pd.DataFrame) -> None:
    """By its tag, else by what the model itself keeps."""
    from forecasting.history import check_history
    from forecasting.spec import ProphetSpec

    model = fit(check_history(daily), ProphetSpec(), "exact")
    _promote(registry, "ours", model, **{"forecast.solver": "exact"})
    _promote(registry, "theirs", model)
    ours, theirs = _forecasts(backend, *(ForecastRequest(model_id=key, periods=1) for key in ("ours", "theirs")))
    assert (ours.model.solver, theirs.model.solver) == ("exact", "cmdstan")


def test_many_who_want_an_unknown_champion_ask_the_registry_once(
    registry: Registry, runners: LocalRunners, prophet: Prophet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And then it is known for a second."""
    _promote(registry, "a", prophet)
    lookups: list[str] = []
    champion = registry.champion
    monkeypatch.setattr(registry, "champion", lambda segment: lookups.append(segment) or champion(segment))
    backend = WorkerBackend(runners, registry, Settings(champion_ttl_seconds=60))
    _forecasts(backend, *[ForecastRequest(model_id="a", periods=1)] * 20)
    _forecasts(backend, ForecastRequest(model_id="a", periods=2))
    assert lookups == ["a"]


def test_a_request_that_no_runner_takes_is_refused_alone(registry: Registry, prophet: Prophet) -> None:
    """In a batch, its neighbours get their answers."""
    _promote(registry, "a", prophet)

    class Nobody:
        async def fit(self, _: Sequence[InlineHistory]) -> Sequence[Fitted]:
            raise Refused("overloaded", "no runner is free for this request")

        async def answer(self, _: Sequence[ForecastRequest]) -> Sequence[Outcome]:
            raise Refused("overloaded", "no runner is free for this request")

    backend = WorkerBackend(Nobody(), registry, IMPATIENT)

    async def both() -> list[Outcome]:
        asked = (
            ForecastRequest(model_id="a", periods=1),
            ForecastRequest(model_id="a", include_history=True),
            ForecastRequest.model_validate({"data": [{"ds": f"2024-01-0{day}", "y": 1.0} for day in range(1, 9)]}),
        )
        return list(await asyncio.gather(*map(backend.forecast, asked)))

    answered, *refused = asyncio.run(both())
    assert isinstance(answered, Answer)
    assert [outcome.code for outcome in refused if isinstance(outcome, Refusal)] == ["overloaded"] * 2
