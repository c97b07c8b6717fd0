"""Prophet's JSON into arrays and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import prophet as package
import pytest
from prophet import Prophet
from prophet.serialize import model_from_json, model_to_json

from forecasting.errors import ModelError
from forecasting.future import make_future
from forecasting.predict import predict
from forecasting.prophet_json_writer import write_model
from forecasting.state import Calibration, ForecastModel
from forecasting.table import ModelTable
from forecasting.table_file import open_table, save_table

OLD = sorted((Path(package.__file__).parent / "tests").glob("serialized_model_v*.json"))


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


def test_a_regressor_predictor_is_refused_by_name(prophet: Prophet) -> None:
    """Arrays cannot express it, and nothing is approximated silently."""
    state = json.loads(model_to_json(prophet))
    term = {"prior_scale": 1, "standardize": "auto", "mu": 0, "std": 1, "mode": "additive", "predictor_spec": {}}
    state["extra_regressors"] = [["price"], {"price": term}]
    with pytest.raises(ModelError, match=r"price.*regressor_predictor"):
        ForecastModel.from_json(json.dumps(state))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '"x"', '{"params": {"k": 1}, "history": 1}'])
def test_what_is_no_prophet_is_refused(text: str) -> None:
    """With the one error that callers expect."""
    with pytest.raises(ModelError):
        ForecastModel.from_json(text)


def test_calibration_interpolates_and_holds_at_its_ends() -> None:
    """By horizon, or one factor overall."""
    assert Calibration(np.array([0.1, 0.3]), np.array([1.0, 3.0])).at(np.array([0.0, 0.2, 9.0])).tolist() == [1, 2, 3]
    assert Calibration.overall(2.0).at(np.array([0.0, 5.0])).tolist() == [2, 2]
