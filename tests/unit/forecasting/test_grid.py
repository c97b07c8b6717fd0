"""Models of one kind in one matrix: the numbers of forecast_many, whatever else is in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from prophet import Prophet
from prophet.serialize import model_to_json

from forecasting.forecast import forecast, forecast_many
from forecasting.future import make_future
from forecasting.grid import OTHER, PlainModels
from forecasting.predict_many import RowBlock
from forecasting.state import Calibration, ForecastModel
from forecasting.table import ModelTable
from tests.unit.forecasting.drawn import Drawn, cases

RELAXED = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def _model(seed: int, days: int = 60, **options: object) -> ForecastModel:
    """A Prophet with drawn parameters, over days from 2024-01-01."""
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=days), "y": np.arange(float(days)) + 5.0})
    real = Prophet(**options)
    if options.get("growth") == "logistic":
        frame["cap"] = 200.0
    real.stan_backend = Drawn(seed, 1, 0.1)
    return ForecastModel.from_json(model_to_json(real.fit(frame)), freq="D")


def _calibrated(model: ForecastModel) -> ForecastModel:
    return replace(model, calibration=Calibration(np.array([0.01, 0.1, 0.3]), np.array([0.7, 1.4, 2.2])))


def _block(models: np.ndarray, dates: list[np.ndarray]) -> RowBlock:
    return RowBlock(models, np.cumsum([0, *map(len, dates)]), np.concatenate(dates))


def _bits(table: ModelTable, models: list[int], dates: list[np.ndarray], width: float = 0.8) -> list[bytes]:
    found = PlainModels.of(table).forecast(models, dates, width)
    parts = (found.yhat, found.yhat_lower, found.yhat_upper)
    return [b"".join(part[row].tobytes() for part in parts) for row in range(len(models))]


@RELAXED
@given(cases(), st.sampled_from([0.5, 0.8, 0.95]))
def test_a_plain_model_gets_what_forecast_many_gives(case: tuple[Prophet, pd.DataFrame], width: float) -> None:
    """Anywhere in time, with any seasonalities and holidays of either mode; everything else is no plain model."""
    real, rows = case
    model = ForecastModel.from_json(model_to_json(real))
    table = ModelTable.pack([model, _calibrated(model)])
    plain = model.n_draws == 1 and model.growth != "logistic" and not model.required_columns
    kinds = PlainModels.of(table).kinds
    assert (kinds != OTHER).all() == plain
    assume(plain)
    ds = rows["ds"].to_numpy().astype("M8[ns]").astype(np.int64)
    for place in range(2):
        models = np.array([place, place])
        dates = [ds, ds[::-1].copy()]
        expected = forecast_many(table, _block(models, dates), interval_width=width)
        found = PlainModels.of(table).forecast(models, dates, width)
        for name in ("yhat", "yhat_lower", "yhat_upper"):
            np.testing.assert_allclose(
                getattr(found, name).ravel(), getattr(expected, name), rtol=1e-12, atol=1e-12 * model.y_scale
            )


def test_kinds_tell_layouts_apart_and_gather_what_is_alike() -> None:
    """Another number of changepoints or of calibrated horizons, other features, another growth."""
    plain = _model(1)
    models = [
        plain,
        _model(2),
        _model(3, n_changepoints=4),
        _calibrated(plain),
        _model(4, seasonality_mode="multiplicative"),
        _model(5, growth="logistic"),
        _model(6, growth="flat"),
    ]
    kinds = PlainModels.of(ModelTable.pack(models)).kinds.tolist()
    assert kinds[0] == kinds[1]
    assert len({*kinds[:5]}) == 4
    assert kinds[5] == OTHER
    assert kinds[6] != OTHER
    assert PlainModels.of(ModelTable.pack([])).kinds.tolist() == []


def test_company_changes_no_bit() -> None:
    """Not its number, not its dates, not whether they are the same."""
    table = ModelTable.pack([_calibrated(_model(seed)) for seed in range(40)])
    near, far = make_future(table.model(0), 30), make_future(table.model(0), 30, "D", pd.Timestamp("2024-02-20"))
    alone = [_bits(table, [row], [near])[0] for row in range(40)]
    assert _bits(table, list(range(40)), [near] * 40) == alone
    mixed = [near if row % 3 else far for row in range(40)]
    found = _bits(table, list(range(40)), mixed)
    assert [bits for row, bits in enumerate(found) if row % 3] == [bits for row, bits in enumerate(alone) if row % 3]
    assert _bits(table, list(range(39, -1, -1)), mixed[::-1]) == found[::-1]


@RELAXED
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from([40, 60, 90]),
            st.sampled_from([0.0, 1e-5, 1.0, 1e9]),
            st.booleans(),
            st.sampled_from(["next", "far", "inside", "backwards", "around"]),
        ),
        min_size=2,
        max_size=8,
    ),
    st.sampled_from(["additive", "multiplicative"]),
    st.sampled_from([0.5, 0.8, 0.99]),
)
def test_company_of_any_sort_changes_no_bit(
    drawn: list[tuple[int, int, float, bool, str]], mode: str, width: float
) -> None:
    """Trends that bend after the history, half-widths in the table, beside it, and without noise; dates anywhere."""
    models = [
        _bent(_model(seed, days, seasonality_mode=mode), noise, later=later) for seed, days, noise, later, _ in drawn
    ]
    table = ModelTable.pack(models)
    dates = [_dates(model, where) for model, (*_, where) in zip(models, drawn, strict=True)]
    assert len(set(PlainModels.of(table).kinds.tolist())) == 1
    alone = [_bits(table, [row], [ds], width)[0] for row, ds in enumerate(dates)]
    assert _bits(table, list(range(len(models))), dates, width) == alone
    for row, (model, ds) in enumerate(zip(models, dates, strict=True)):
        expected, found = forecast(model, ds, interval_width=width), PlainModels.of(table).forecast([row], [ds], width)
        for name in ("yhat", "yhat_lower", "yhat_upper"):
            np.testing.assert_allclose(
                getattr(found, name)[0], getattr(expected, name), rtol=1e-9, atol=1e-9 * model.y_scale
            )


def _bent(model: ForecastModel, noise: float, *, later: bool) -> ForecastModel:
    """The model with so many times its noise; later: with the last third of its changepoints after the history."""
    stretched = model.changepoints_t * (1.6 if later else 1.0)
    return replace(model, sigma_obs=model.sigma_obs * noise, changepoints_t=stretched)


def _dates(model: ForecastModel, where: str) -> np.ndarray:
    """Twelve of them: after the history, long after it, in it, descending, or from the history on."""
    start = {"far": "2031-01-01", "inside": "2024-01-10", "around": "2024-02-05"}.get(where)
    ds = make_future(model, 12, "D", None if start is None else pd.Timestamp(start))
    if where != "backwards":
        return ds
    ds = ds[::-1].copy()
    ds.flags.writeable = False
    return ds


def test_a_grid_of_many_changepoints_is_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded, and the numbers the same."""
    table = ModelTable.pack([_model(seed) for seed in range(9)])
    inside = [make_future(table.model(0), 30, "D", pd.Timestamp("2024-01-10"))] * 9
    whole = _bits(table, list(range(9)), inside)
    monkeypatch.setattr("forecasting.grid_blocks._MOST_CELLS", 2_000)
    assert _bits(table, list(range(9)), inside) == whole
    expected = forecast(table.model(4), inside[4])
    np.testing.assert_allclose(
        PlainModels.of(table).forecast(np.array([4]), inside[:1], 0.8).yhat[0], expected.yhat, rtol=1e-12
    )


def test_dates_that_may_change_are_not_kept() -> None:
    """A caller who writes into his array gets the forecast of what it holds now."""
    table = ModelTable.pack([_model(1)])
    ds = make_future(table.model(0), 5).copy()
    before = PlainModels.of(table).forecast(np.array([0]), [ds], 0.8).yhat
    ds += 86_400 * 10**9
    after = PlainModels.of(table).forecast(np.array([0]), [ds], 0.8).yhat
    np.testing.assert_allclose(after[0, :-1], before[0, 1:], rtol=1e-9)


def test_a_width_that_is_none_is_refused() -> None:
    """As forecast does it."""
    table = ModelTable.pack([_model(1)])
    with pytest.raises(ValueError, match="not between 0 and 1"):
        PlainModels.of(table).forecast(np.array([0]), [make_future(table.model(0), 2)], 1.0)
