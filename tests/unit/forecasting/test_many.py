"""Many requests in one block: none touches another, and another process reads the same bytes from the mapped file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prophet import Prophet
from prophet.serialize import model_to_json

from forecasting.errors import RowsError
from forecasting.future import make_future
from forecasting.predict import Prediction, predict
from forecasting.predict_many import RowBlock, predict_many
from forecasting.state import ForecastModel
from forecasting.table import ModelTable
from forecasting.table_file import open_table, save_table
from tests.unit.forecasting.drawn import Drawn, assert_near, cases, columns_of

RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
Requests = Sequence[tuple[int, pd.DataFrame]]


def _block(requests: Requests) -> RowBlock:
    """The requests (model, rows) one after the other, NaN in the columns that a request does not bring."""
    rows = pd.concat([pd.DataFrame({"ds": pd.Series(dtype="M8[ns]")}), *(rows for _, rows in requests)])
    ds, columns = columns_of(rows)
    numbers = {name: pd.to_numeric(pd.Series(values)).to_numpy(dtype=float) for name, values in columns.items()}
    offsets = np.cumsum([0, *(len(rows) for _, rows in requests)])
    return RowBlock(np.array([model for model, _ in requests], dtype=np.int64), offsets, ds, numbers)


def _model(seed: int, make: Callable[[], Prophet] = Prophet, **columns: float) -> ForecastModel:
    frame = pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=40), "y": np.arange(40.0)}).assign(**columns)
    if "price" in frame:
        frame["price"] = np.sqrt(frame["y"])
    if "is_odd" in frame:
        frame["is_odd"] = frame["ds"].dt.day % 2 == 1
    real = make()
    real.stan_backend = Drawn(seed, 1, 0.1)
    return ForecastModel.from_json(model_to_json(real.fit(frame)))


def _conditional() -> Prophet:
    return Prophet().add_seasonality("odd", 5, 2, condition_name="is_odd")


DAYS = pd.DataFrame({"ds": pd.date_range("2020-02-01", periods=6)})
PLAIN, PRICED, CONDITIONAL, BOUNDED = range(4)


@pytest.fixture(scope="module")
def models() -> list[ForecastModel]:
    """A plain model, one with a regressor, one with a condition, and a logistic one."""
    return [
        _model(1),
        _model(2, lambda: Prophet().add_regressor("price"), price=1.0),
        _model(3, _conditional, is_odd=1.0),
        _model(4, lambda: Prophet(growth="logistic"), cap=90.0),
    ]


def _values(found: Prediction, part: slice = slice(None)) -> bytes:
    return b"".join(values[part].tobytes() for values in (found.yhat, found.trend, found.additive))


BROKEN = {
    "no price": (PRICED, {}),
    "a price that is no number": (PRICED, {"price": [1.0, np.nan, 1.0, 1.0, np.inf, 1.0]}),
    "no condition": (CONDITIONAL, {}),
    "a condition that is neither true nor false": (CONDITIONAL, {"is_odd": [1.0, 0.5, 0.0, np.nan, 1.0, 2.0]}),
    "no cap": (BOUNDED, {}),
    "a cap that is not above the floor": (BOUNDED, {"cap": [90.0, 0.0, -5.0, 90.0, np.nan, 90.0]}),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_request_is_nan_in_its_own_rows_and_touches_no_other(models: list[ForecastModel], fault: str) -> None:
    """The rows that lack something are NaN, the others of the same request are not, and neighbours keep their bytes."""
    position, columns = BROKEN[fault]
    sound = DAYS.assign(price=2.0, is_odd=1.0, cap=90.0)
    broken = DAYS.assign(**{name: columns.get(name, np.nan) for name in ("price", "is_odd", "cap")})
    table = ModelTable.pack(models)
    around: Requests = [(place, sound) for place in range(4)]
    good = predict_many(table, _block([*around, (position, sound), *around]))
    got = predict_many(table, _block([*around, (position, broken), *around]))
    own = slice(4 * 6, 5 * 6)
    asked = next(name for name in ("price", "is_odd", "cap") if name in models[position].required_columns)
    low = 0.0 if asked == "cap" else -np.inf
    usable = np.isfinite(broken[asked]) & (broken[asked] > low)
    if asked == "is_odd":
        usable = broken[asked].isin([0.0, 1.0])
    assert np.array_equal(np.isfinite(got.yhat[own]), usable)
    assert np.isfinite(good.yhat).all()
    for part in (slice(0, 24), slice(30, None)):
        assert _values(got, part) == _values(good, part)
    with pytest.raises(RowsError, match=asked):
        predict(models[position], *columns_of(broken[["ds", *columns]]))


@RELAXED
@given(st.lists(cases(), min_size=1, max_size=3), st.data())
def test_ragged_requests_of_mixed_models_are_each_alone(
    found: list[tuple[Prophet, pd.DataFrame]], data: st.DataObject
) -> None:
    """Any lengths, none at all too, the same model several times, any growth, frequency and terms side by side."""
    models = [ForecastModel.from_json(model_to_json(real)) for real, _ in found]
    asked = data.draw(st.lists(st.integers(0, len(found) - 1), max_size=6))
    requests = [(place, found[place][1].iloc[: data.draw(st.integers(0, 40))]) for place in asked]
    block = _block(requests)
    got = predict_many(ModelTable.pack(models), block, components=True)
    assert len(got.yhat) == sum(len(rows) for _, rows in requests)
    for number, (place, rows) in enumerate(requests):
        if len(rows) == 0:
            continue
        alone = predict(models[place], *columns_of(rows), components=True)
        own = slice(block.offsets[number], block.offsets[number + 1])
        assert_near(got.yhat[own], alone.yhat, "yhat")
        assert_near(got.trend[own], alone.trend, "trend")
        for name, values in alone.components.items():
            assert_near(got.components[name][own], values, name)
        for name in set(got.components) - set(alone.components):
            assert np.isnan(got.components[name][own]).all(), name


def test_equal_dates_or_not_the_forecast_is_the_same(models: list[ForecastModel]) -> None:
    """Requests that share their dates share the work; one more request of another length changes no value of theirs."""
    table = ModelTable.pack(models)
    rows = DAYS.assign(price=2.0, is_odd=1.0, cap=90.0)
    same: Requests = [(place, rows) for place in (PLAIN, PRICED, PLAIN, BOUNDED)]
    together = predict_many(table, _block(same))
    ragged = predict_many(table, _block([*same, (PLAIN, rows.iloc[:2])]))
    np.testing.assert_allclose(ragged.yhat[:24], together.yhat, rtol=1e-12)
    for number, (place, _) in enumerate(same):
        alone = predict(models[place], *columns_of(rows))
        np.testing.assert_allclose(together.yhat[6 * number : 6 * number + 6], alone.yhat, rtol=1e-12)


@pytest.mark.parametrize("requests", [[], [PLAIN], [PRICED, BOUNDED], [CONDITIONAL] * 3], ids=str)
def test_requests_for_nothing_give_nothing(models: list[ForecastModel], requests: list[int]) -> None:
    """No request, or requests without a row."""
    got = predict_many(ModelTable.pack(models), _block([(place, DAYS.iloc[:0]) for place in requests]), components=True)
    assert got.yhat.shape == got.trend.shape == got.additive.shape == (0,)


def test_a_block_whose_lengths_do_not_fit_is_refused() -> None:
    """Rather than read across its pieces."""
    ds = np.arange(4, dtype=np.int64)
    for offsets in ([0, 4, 4], [1, 4], [0, 3], [0, 5]):
        with pytest.raises(RowsError):
            RowBlock(np.zeros(1, dtype=np.int64), np.array(offsets), ds)
    with pytest.raises(RowsError, match="ascend"):
        RowBlock(np.zeros(3, dtype=np.int64), np.array([0, 3, 1, 4]), ds)
    with pytest.raises(RowsError, match="price"):
        RowBlock(np.zeros(1, dtype=np.int64), np.array([0, 4]), ds, {"price": np.ones(3)})


READER = """
import hashlib, sys
from pathlib import Path
import numpy as np
from forecasting.predict_many import RowBlock, predict_many
from forecasting.table_file import open_table

def digest(path):
    ds = np.arange(18_300, 18_330, dtype=np.int64) * 86_400 * 10**9
    table = open_table(Path(path))
    rows = RowBlock(np.arange(2), np.array([0, 30, 60]), np.tile(ds, 2), {"cap": np.full(60, 90.0)})
    found = predict_many(table, rows)
    assert np.isfinite(found.yhat).all() and not table.records.flags.writeable and not table.arena.flags.writeable
    return hashlib.sha256(found.yhat.tobytes() + found.trend.tobytes()).hexdigest()
"""


def test_another_process_forecasts_the_same_bytes_from_the_mapped_file(
    models: list[ForecastModel], tmp_path: Path
) -> None:
    """A real process, which finds the arrays in the file and cannot write to them."""
    path = tmp_path / "models"
    save_table(ModelTable.pack([models[PLAIN], models[BOUNDED]]), path)
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{READER}\nprint(digest(sys.argv[1]))"
    there = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    here: dict[str, Any] = {}
    exec(READER, here)
    assert there.stdout.strip() == here["digest"](path)


@RELAXED
@given(st.lists(cases(), max_size=3))
def test_models_of_any_kind_come_back_from_the_file_to_the_bit(
    tmp_path: Path, found: list[tuple[Prophet, pd.DataFrame]]
) -> None:
    """With their holidays, regressors, conditions, draws and bounds."""
    models = [ForecastModel.from_json(model_to_json(real)) for real, _ in found]
    save_table(ModelTable.pack(models), tmp_path / "models")
    table = open_table(tmp_path / "models")
    assert len(table) == len(models)
    for place, model in enumerate(models):
        for name, value in vars(table.model(place)).items():
            wanted = getattr(model, name)
            same = value.tobytes() == wanted.tobytes() if isinstance(wanted, np.ndarray) else value == wanted
            assert same, name


def test_a_packed_model_of_the_usual_kind_takes_less_than_two_kilobytes() -> None:
    """Daily with a year and a week, 25 changepoints: so 100,000 of them fit into 200 MB."""
    frame = pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=800), "y": np.arange(800.0)})
    real = Prophet(uncertainty_samples=0)
    real.stan_backend = Drawn(1, 1, 0.1)
    model = ForecastModel.from_json(model_to_json(real.fit(frame)))
    assert (model.n_changepoints, model.features.n_columns) == (25, 26)
    table = ModelTable.pack([model] * 2_000)
    assert len(table.features) == 1
    assert table.nbytes <= 2_000 * 2_000
    assert make_future(table.model(1_999), 3).tolist() == make_future(model, 3).tolist()
