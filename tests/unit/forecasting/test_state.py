"""Prophet's JSON into arrays and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import holidays
import numpy as np
import pandas as pd
import prophet as package
import pytest
from holidays.registry import EntityLoader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prophet import Prophet
from prophet.make_holidays import make_holidays_df
from prophet.serialize import model_from_json, model_to_json

from forecasting.country_holidays import country_holidays
from forecasting.errors import Inexpressible, ModelError, RowsError
from forecasting.future import make_future
from forecasting.predict import predict
from forecasting.prophet_json_writer import write_model
from forecasting.state import Calibration, ForecastModel
from forecasting.table import ModelTable
from forecasting.table_file import open_table, save_table
from tests.unit.forecasting.drawn import Drawn, assert_near, cases, columns_of

OLD = sorted((Path(package.__file__).parent / "tests").glob("serialized_model_v*.json"))


def _forecast(model: ForecastModel, rows: pd.DataFrame) -> np.ndarray:
    return predict(model, *columns_of(rows.sort_values("ds", kind="mergesort"))).yhat


def _prophets_forecast(text: str, rows: pd.DataFrame) -> np.ndarray:
    real = model_from_json(text)
    real.uncertainty_samples = 0
    return real.predict(rows)["yhat"].to_numpy()


def _opened(text: str) -> dict[str, Any]:
    """Prophet's JSON with the tables that are texts in it read too, the history cut to three rows."""
    state: dict[str, Any] = json.loads(text)
    for name in TABLES:
        state[name] = state[name] and json.loads(state[name])
    state["history"]["data"] = state["history"]["data"][-3:]
    return state


def _closed(state: dict[str, Any]) -> str:
    return json.dumps({name: json.dumps(value) if name in TABLES and value else value for name, value in state.items()})


def _places(found: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value, of lists only to the first three."""
    inside = found.items() if isinstance(found, dict) else enumerate(found[:3]) if isinstance(found, list) else ()
    for step, value in inside:
        yield (*above, step)
        yield from _places(value, (*above, step))


def _frame(ds: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"ds": ds.view("M8[ns]")})


def test_prophet_ships_its_three_old_files() -> None:
    """So that the next test cannot pass by finding nothing."""
    assert len(OLD) == 3


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_old_files_forecast_as_prophet_reads_them(path: Path) -> None:
    """Files of 0.6.1, 0.7.1 and 1.0.1 give Prophet's own numbers, dates and frequency."""
    text = json.loads(path.read_text())
    real, model = model_from_json(text), ForecastModel.from_json(text)
    rows = real.make_future_dataframe(10, include_history=False)
    assert make_future(model, 10).tolist() == rows["ds"].astype("M8[ns]").astype(np.int64).tolist()
    expected = real.predict(rows)
    got = predict(model, make_future(model, 10), components=True)
    np.testing.assert_allclose(got.yhat, expected["yhat"], rtol=1e-9)
    for name, values in got.components.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-9, atol=1e-12)


def test_a_model_written_back_is_a_prophet_that_forecasts_the_same(prophet: Prophet) -> None:
    """The JSON that write_model writes is one that prophet.serialize reads, and that we read to the bit."""
    model = ForecastModel.from_json(model_to_json(prophet))
    text = write_model(model, prophet.history[["ds", "y"]])
    ds = make_future(model, 20)
    np.testing.assert_allclose(predict(model, ds).yhat, model_from_json(text).predict(_frame(ds))["yhat"], rtol=1e-9)
    again = ForecastModel.from_json(text)
    assert predict(again, ds).yhat.tobytes() == predict(model, ds).yhat.tobytes()


def test_a_packed_model_comes_back_to_the_bit(prophet: Prophet, tmp_path: Path) -> None:
    """Through the table, its file and the memory map."""
    model = ForecastModel.from_json(model_to_json(prophet))
    save_table(ModelTable.pack([model, model]), tmp_path / "models")
    again = open_table(tmp_path / "models").model(1)
    for name in ("k", "m", "delta", "beta", "sigma_obs", "changepoints_t"):
        assert getattr(again, name).tobytes() == getattr(model, name).tobytes()
    assert (again.features, again.start, again.freq, again.last_date) == (
        model.features,
        model.start,
        model.freq,
        model.last_date,
    )


def test_a_cut_off_table_is_refused(prophet: Prophet, tmp_path: Path) -> None:
    """Rather than mapped and read past its end."""
    path = tmp_path / "models"
    save_table(ModelTable.pack([ForecastModel.from_json(model_to_json(prophet))]), path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelError, match="bytes"):
        open_table(path)


RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
TABLES = ("history", "history_dates", "holidays", "train_holiday_names", "train_component_cols")
DAMAGE = st.sampled_from([None, True, 0, -5, 3.7, 1e9, math.nan, math.inf, "", "x", "9999-01-01", [], {}, [1], "[]"])


@RELAXED
@given(cases())
def test_it_reads_what_prophets_own_reader_reads(case: tuple[Prophet, pd.DataFrame]) -> None:
    """Prophet's JSON keeps microseconds and ten digits; the Prophet that comes back from it is the measure."""
    real, rows = case
    text = model_to_json(real)
    assert_near(_forecast(ForecastModel.from_json(text), rows), _prophets_forecast(text, rows), "yhat")


@RELAXED
@given(cases(), st.data())
def test_a_damaged_prophet_is_refused_or_is_what_prophet_takes_it_for(
    case: tuple[Prophet, pd.DataFrame], data: st.DataObject
) -> None:
    """With any one value taken away or replaced: a ModelError, or the same forecast, or that of Prophet's own reader.

    The columns that a forecast asks for may be among what was damaged, so a RowsError is an answer too.
    """
    real, rows = case
    state = _opened(model_to_json(real))
    whole = _forecast(ForecastModel.from_json(_closed(state)), rows)
    *above, last = data.draw(st.sampled_from(list(_places(state))))
    inner: Any = state
    for step in above:
        inner = inner[step]
    if data.draw(st.booleans()):
        del inner[last]
    else:
        inner[last] = data.draw(DAMAGE)
    text = _closed(state)
    try:
        got = _forecast(ForecastModel.from_json(text), rows)
    except (ModelError, RowsError):
        return
    if got.tobytes() != whole.tobytes():
        assert_near(got, _prophets_forecast(text, rows), "yhat")


@RELAXED
@given(st.floats(0, 1, exclude_max=True))
def test_a_truncated_prophet_is_refused(prophet: Prophet, share: float) -> None:
    """Wherever it was cut off."""
    text = model_to_json(prophet)
    with pytest.raises(ModelError):
        ForecastModel.from_json(text[: int(share * len(text))])


def test_a_regressor_predictor_is_refused_by_name(daily: pd.DataFrame) -> None:
    """Arrays cannot express a Prophet inside a Prophet, and nothing is approximated silently."""
    model = Prophet(uncertainty_samples=0).add_regressor("price", regressor_predictor={"uncertainty_samples": 0})
    text = model_to_json(model.fit(daily.assign(price=np.sqrt(daily["y"]))))
    with pytest.raises(Inexpressible, match=r"price.*regressor_predictor"):
        ForecastModel.from_json(text)


def test_a_regressor_that_prophet_confuses_with_time_is_refused_by_name(daily: pd.DataFrame) -> None:
    """Its name is free to Prophet, which then takes the regressor for the scaled time of the trend."""
    model = Prophet(uncertainty_samples=0).add_regressor("t")
    model.stan_backend = Drawn(1, 1, 0.1)
    with pytest.raises(Inexpressible, match="'t'"):
        ForecastModel.from_json(model_to_json(model.fit(daily.assign(t=np.sqrt(daily["y"])))))


NEWS = [
    (["surprise"], 1, Inexpressible, "surprise"),
    (["seasonalities", 1, "weekly", "phase"], 0.5, Inexpressible, r"weekly.*phase"),
    (["interval_width"], 1, Inexpressible, "interval_width"),
    (["interval_width"], 1.5, ModelError, "interval width"),
    (["growth"], "gompertz", ModelError, "gompertz"),
    (["scaling"], "log", ModelError, "log"),
    (["country_holidays"], "Atlantis", ModelError, "Atlantis"),
    (["seasonalities", 1, "weekly", "mode"], "both", ModelError, "both"),
    (["seasonalities", 1, "weekly", "period"], 0, ModelError, r"weekly.*period"),
    (["seasonalities", 1, "weekly", "fourier_order"], 4, ModelError, "8"),
    (["params", "beta"], [[0.0] * 5], ModelError, "beta"),
    (["params", "delta"], [[0.0] * 5] * 5, ModelError, "delta"),
    (["params", "sigma_obs"], [[-1.0]], ModelError, "sigma_obs"),
    (["changepoints_t"], list(range(25, 0, -1)), ModelError, "changepoints"),
    (["t_scale"], 0.0, ModelError, "t_scale"),
    (["y_scale"], True, ModelError, "y_scale"),
    (["start"], 1e12, ModelError, "dates"),
    (["logistic_floor"], True, ModelError, "logistic_floor"),
    (["__prophet_serving"], {"freq": 5}, ModelError, "freq"),
    (["__prophet_serving"], {"calibration": {"horizons": [0.1], "factors": []}}, ModelError, "calibration"),
]


@pytest.mark.parametrize(("place", "value", "error", "named"), NEWS, ids=lambda value: str(value)[:30])
def test_what_it_cannot_take_is_named(
    prophet: Prophet, place: list[Any], value: Any, error: type[ModelError], named: str
) -> None:
    """Inexpressible where Prophet would still forecast, a plain ModelError where it would not."""
    state = json.loads(model_to_json(prophet))
    state["train_holiday_names"] = json.dumps({"data": []}) if "country_holidays" in place else None
    inner: Any = state
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(error, match=named) as caught:
        ForecastModel.from_json(json.dumps(state))
    assert caught.type is error


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '"x"', '{"params": {"k": 1}, "history": 1}', "[" * 10**5])
def test_what_is_no_prophet_is_refused(text: str) -> None:
    """With the one error that callers expect."""
    with pytest.raises(ModelError):
        ForecastModel.from_json(text)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Requested Holidays")  # some calendars say that they end
def test_no_year_of_any_country_holds_a_holiday_of_another() -> None:
    """Prophet asks for all years of its rows at once, `country_holidays` for one: which must not make a difference."""
    calendars = [name for name in dir(holidays) if isinstance(getattr(holidays, name), EntityLoader)]
    codes = [name for name in calendars if len(name) == 2 or (len(name) == 4 and name.isupper())]
    assert len(codes) > 200
    years = list(range(1990, 2062))
    for code in codes:
        found = {pair for year in years for pair in country_holidays(code, year)}
        table = make_holidays_df(years, code)
        days = table["ds"].to_numpy().astype("M8[D]").astype(np.int64)
        unlike = found ^ set(zip(days.tolist(), table["holiday"], strict=True))
        assert unlike <= {(10_958, "Y2K Changeover")} if code == "XJSE" else not unlike, code


def test_calibration_interpolates_and_holds_at_its_ends() -> None:
    """By horizon, or one factor overall."""
    assert Calibration(np.array([0.1, 0.3]), np.array([1.0, 3.0])).at(np.array([0.0, 0.2, 9.0])).tolist() == [1, 2, 3]
    assert Calibration.overall(2.0).at(np.array([0.0, 5.0])).tolist() == [2, 2]
