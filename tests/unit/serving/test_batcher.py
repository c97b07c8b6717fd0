"""What queues in one turn is computed in one go, and nobody's answer depends on who else was there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from forecasting.calendar import is_subdaily
from forecasting.features import FeatureTable, RegressorTerm, SeasonalTerm
from forecasting.forecast import forecast
from forecasting.future import make_future
from forecasting.grid import PlainModels
from forecasting.state import Calibration, ForecastModel
from forecasting.table import ModelTable
from serving.batcher import MOST_AT_ONCE, Batcher
from serving.champions import Champions
from serving.outcomes import Answer, Outcome, Refusal
from serving.schemas import ForecastRequest, ModelInfo, ServedModel
from serving.snapshot import Contents, Mark, open_snapshot
from serving.snapshot_writer import Part, Row, write_snapshot

DAY = 86_400 * 10**9
WEEKLY = FeatureTable((SeasonalTerm("weekly", 7.0, 3),))
PRICED = FeatureTable((), regressors=(RegressorTerm("price"),))


def _model(seed: int, **changes: object) -> ForecastModel:
    random, features = np.random.default_rng(seed), changes.get("features", WEEKLY)
    parts: dict = {
        "growth": "linear",
        "start": 19_000 * DAY,
        "t_scale": 100.0 * DAY,
        "y_min": 0.0,
        "y_scale": 10.0,
        "changepoints_t": np.array([0.2, 0.5, 1.1]),
        "k": random.normal(size=1),
        "m": random.normal(size=1),
        "delta": random.normal(size=(1, 3)),
        "beta": random.normal(size=(1, features.n_columns)),
        "sigma_obs": np.ones(1),
        "features": features,
        "freq": "D",
    }
    n = len(features.regressors)
    return ForecastModel(**{**parts, "regressor_mean": np.zeros(n), "regressor_std": np.ones(n), **changes})


MODELS = {
    **{f"plain {seed}": _model(seed) for seed in range(6)},
    "calibrated": _model(10, calibration=Calibration(np.array([0.1, 0.2]), np.array([0.5, 2.0]))),
    "hourly": _model(11, freq="h", last_date=19_200 * DAY),
    "wide": _model(12, interval_width=0.93),
    "infinite": _model(13, y_scale=1e308, k=np.array([1e3])),
    "priced": _model(14, features=PRICED),
    "no frequency": _model(15, freq=None),
    "end of time": _model(16, last_date=np.iinfo(np.int64).max - 3 * DAY),
}


def _row(segment: str, version: int) -> Row:
    info = ModelInfo(name=segment, version=version, run_id=None, trained_through="2022", solver="exact")
    served = ServedModel(
        model_id=segment,
        name=segment,
        version=version,
        run_id=None,
        created_at="",
        trained_through=None,
        freq=None,
        solver=None,
        metrics={},
    )
    return Row(Mark(segment, version, 0), info, served)


def _champions(path: Path, models: dict[str, ForecastModel], version: int = 1) -> Champions:
    rows = [_row(segment, version) for segment in models]
    write_snapshot(path, Contents("2026-01-01T00:00:00Z", "x"), [Part(rows, ModelTable.pack([*models.values()]))])
    return Champions.of(open_snapshot(path))


@pytest.fixture(scope="module")
def champions(tmp_path_factory: pytest.TempPathFactory) -> Champions:
    return _champions(tmp_path_factory.mktemp("snapshot") / "catalog", MODELS)


def _ask(champions: Champions, *requests: ForecastRequest, sizes: list[int] | None = None) -> list[Outcome]:
    """The outcomes of requests that arrive in the same turn."""

    async def all_of_them() -> list[Outcome]:
        batcher = Batcher((sizes if sizes is not None else []).append)
        waiters = []
        for request in requests:
            row = champions.row_for(request)
            assert row is not None, request
            waiters.append(batcher.submit(champions, row, request))
        return list(await asyncio.gather(*waiters))

    return asyncio.run(all_of_them())


def _one(segment: str, **changes: object) -> ForecastRequest:
    return ForecastRequest.model_validate({"model_id": segment, "periods": 5, **changes})


def test_each_champion_gets_what_it_gets_alone(champions: Champions) -> None:
    """Of several kinds, frequencies, widths and horizons in one batch: the numbers of `forecast`, its own dates."""
    segments = [name for name in MODELS if name not in ("infinite", "priced", "no frequency", "end of time")]
    asked = [_one(name, periods=periods) for name in segments for periods in (1, 5, 40)]
    asked += [_one("plain 1", interval_width=0.5), _one("wide", interval_width=0.8)]
    sizes: list[int] = []
    together = _ask(champions, *asked, sizes=sizes)
    assert sum(sizes) == len(asked)
    for request, outcome in zip(asked, together, strict=True):
        assert isinstance(outcome, Answer), outcome
        model = MODELS[request.model_id]
        ds = make_future(model, request.periods)
        expected = forecast(model, ds, interval_width=request.interval_width)
        unit = "s" if is_subdaily(model.freq or "") else "D"
        assert [*outcome.ds] == np.datetime_as_string(ds.view("M8[ns]"), unit=unit).tolist()
        for name in ("yhat", "yhat_lower", "yhat_upper"):
            np.testing.assert_allclose(getattr(outcome, name), getattr(expected, name), rtol=1e-9)
        [alone] = _ask(champions, request)
        assert isinstance(alone, Answer)
        assert (alone.yhat, alone.yhat_lower, alone.yhat_upper) == (
            outcome.yhat,
            outcome.yhat_lower,
            outcome.yhat_upper,
        )


def test_one_bad_item_never_fails_its_neighbours(champions: Champions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Infinite numbers, dates beyond the calendar, and a bug."""
    asked = [_one("plain 1"), _one("infinite"), _one("end of time"), _one("plain 2")]
    codes = [outcome.code if isinstance(outcome, Refusal) else None for outcome in _ask(champions, *asked)]
    assert codes == [None, "model_unavailable", "invalid_request", None]

    real, bad = PlainModels.forecast, champions.row_for(_one("plain 3"))

    def fails_on_one(self: PlainModels, rows: np.ndarray, *rest: object) -> object:
        if bad in rows:
            raise ZeroDivisionError
        return real(self, rows, *rest)

    monkeypatch.setattr(PlainModels, "forecast", fails_on_one)
    outcomes = _ask(champions, *(_one(f"plain {number}") for number in range(6)))
    codes = [outcome.code if isinstance(outcome, Refusal) else None for outcome in outcomes]
    assert codes == [None, None, None, "internal_error", None, None]


def test_what_takes_more_than_dates_is_left_to_others(champions: Champions) -> None:
    """Models that need rows' own columns, and requests that say anything special."""
    assert champions.row_for(_one("nobody")) is None
    for segment in ("priced", "no frequency"):
        assert champions.snapshot.find(segment) is not None
        assert champions.row_for(_one(segment)) is None
    special = [
        {"components": True},
        {"include_history": True},
        {"start": "2024-01-01"},
        {"freq": "D"},
        {"version": 1},
        {"cap": 1.0},
        {"floor": 1.0},
        {"regressors": {"a": [1.0]}},
        {"data": []},
    ]
    assert [changes for changes in special if champions.row_for(_one("plain 1", **changes)) is not None] == []
    said = {"components": False, "include_history": False, "regressors": {}, "data": None, "format": "columns"}
    assert champions.row_for(_one("plain 1", **said)) is not None


def test_a_batch_is_what_queued_in_one_turn_up_to_a_limit(champions: Champions) -> None:
    """A request that comes alone waits for nobody; a flood leaves the loop its turns."""
    sizes: list[int] = []
    _ask(champions, _one("plain 1"), sizes=sizes)
    assert sizes == [1]
    turns: list[int] = []

    async def flood() -> None:
        batcher = Batcher(sizes.append)
        request = _one("plain 2")
        row = champions.row_for(request)
        assert row is not None
        await batcher.submit(champions, row, request)
        waiters = [batcher.submit(champions, row, request) for _ in range(2 * MOST_AT_ONCE + 2)]

        async def somebody_else() -> None:
            while not waiters[-1].done():
                turns.append(len(sizes))
                await asyncio.sleep(0)

        await asyncio.gather(somebody_else(), *waiters)

    sizes.clear()
    asyncio.run(flood())
    assert sizes == [1, 1, MOST_AT_ONCE, MOST_AT_ONCE, 1]
    assert set(turns) == {3, 4}


def test_only_who_comes_alone_is_answered_on_the_spot(champions: Champions) -> None:
    """The first of a turn is, until a turn has had several: then nobody is, until somebody comes alone again."""

    async def turn(batcher: Batcher, count: int) -> list[bool]:
        request = _one("plain 1")
        row = champions.row_for(request) or 0
        waiters = [batcher.submit(champions, row, request) for _ in range(count)]
        at_once = [waiter.done() for waiter in waiters]
        await asyncio.gather(*waiters)
        await asyncio.sleep(0)  # the batcher ends its turn after theirs
        return at_once

    async def turns() -> list[list[bool]]:
        batcher = Batcher()
        await turn(batcher, 1)  # which waits for the tables of its width
        return [await turn(batcher, count) for count in (1, 1, 3, 2, 1, 1)]

    assert asyncio.run(turns()) == [[True], [True], [True, False, False], [False, False], [False], [True]]


def test_an_answer_is_of_the_snapshot_it_was_asked_of(champions: Champions, tmp_path: Path) -> None:
    """Numbers and provenance of one version, also where a batch spans a change of the catalog."""
    later = _champions(tmp_path / "catalog", {"plain 1": _model(77)}, version=2)

    async def both() -> list[Outcome]:
        batcher, request = Batcher(), _one("plain 1")
        waiters = [batcher.submit(own, own.row_for(request) or 0, request) for own in (champions, later) * 3]
        return list(await asyncio.gather(*waiters))

    outcomes = asyncio.run(both())
    ds = make_future(_model(77), 5)
    for place, outcome in enumerate(outcomes):
        assert isinstance(outcome, Answer)
        version, model = (2, _model(77)) if place % 2 else (1, MODELS["plain 1"])
        assert ModelInfo.model_validate_json(outcome.model).version == version
        np.testing.assert_allclose(outcome.yhat, forecast(model, ds).yhat, rtol=1e-9)


def test_a_caller_who_has_gone_harms_nobody(champions: Champions) -> None:
    """Its future is cancelled; the others get their answers."""

    async def one_goes() -> Outcome:
        batcher, request = Batcher(), _one("plain 1")
        row = champions.row_for(request) or 0
        gone, stays = (batcher.submit(champions, row, request) for _ in range(2))
        gone.cancel()
        return await stays

    assert isinstance(asyncio.run(one_goes()), Answer)
