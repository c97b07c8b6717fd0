"""A batch as an Arrow stream: the same numbers as in JSON, and who asks for it."""

from __future__ import annotations

import asyncio
import json
import sys

import httpx
import numpy as np
import pyarrow as pa
import pytest

from serving.app import ForecastApp
from serving.arrow import MEDIA_TYPE, batch_stream, is_wanted
from serving.metrics import Metrics
from serving.outcomes import Answer, Outcome, Refusal
from serving.schemas import ForecastRequest
from serving.settings import Settings

TIME = "2026-01-01T00:00:00.000Z"
MODEL = {"name": "forecast.a", "version": 1, "run_id": None, "trained_through": "2024-01-01", "solver": "exact"}


class Backend:
    """Random numbers, days or hours by the segment's name; "bad" is unknown."""

    async def forecast(self, request: ForecastRequest) -> Outcome:
        if request.model_id == "bad":
            return Refusal("unknown_segment", "there is no such segment")
        random, n = np.random.default_rng(len(request.model_id)), request.periods
        days = np.datetime64("2024-01-31") + np.arange(n)
        hours = np.datetime64("1969-12-31T22:00:00") + np.arange(n).astype("m8[h]")
        numbers = [(random.normal(size=n) * 10.0 ** random.integers(-300, 300, n)).tolist() for _ in range(3)]
        ds = (hours if request.model_id.startswith("hourly") else days).astype(str).tolist()
        return Answer(request.model_id, TIME, json.dumps(MODEL).encode(), ds, *numbers, interval_width=0.8)


def _ask(asked: list[dict[str, object]], accept: str = MEDIA_TYPE) -> httpx.Response:
    app = ForecastApp(Settings(), Backend(), Metrics(multiprocess=False))

    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.post("/forecast/batch", json={"requests": asked}, headers={"Accept": accept})

    return asyncio.run(once())


def test_it_holds_what_the_json_does_to_the_bit() -> None:
    """Row by row, with what was asked twice told apart, and problems in their places."""
    asked: list[dict[str, object]] = [
        {"model_id": name, "periods": periods}
        for name, periods in (("ü/1", 3), ("bad", 5), ("hourly", 30), ("ü/1", 1), ("hourly 2", 2))
    ]
    answer = _ask(asked)
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPE)
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.schema.field("ds").type == pa.timestamp("us")
    results = json.loads(table.schema.metadata[b"results"])
    for number, expected in enumerate(_ask(asked, "application/json").json()["results"]):
        rows = [row for row in table.to_pylist() if row["request"] == number]
        told = expected.pop("forecast", [])
        assert results[number] == expected
        assert [row["model_id"] for row in rows] == [asked[number]["model_id"]] * len(told)
        for row, other in zip(rows, told, strict=True):
            assert np.datetime64(row["ds"]) == np.datetime64(other["ds"])
            assert [row[name] for name in ("yhat", "yhat_lower", "yhat_upper")] == [
                other[name] for name in ("yhat", "yhat_lower", "yhat_upper")
            ]


def test_a_batch_without_a_forecast_has_no_rows() -> None:
    """But the same columns."""
    table = pa.ipc.open_stream(batch_stream([Refusal("unknown_segment", "none")])).read_all()
    full = pa.ipc.open_stream(_ask([{"model_id": "a"}]).content).read_all()
    assert (table.num_rows, full.num_rows) == (0, 30)
    assert table.schema.equals(full.schema)
    assert json.loads(table.schema.metadata[b"results"])[0]["code"] == "unknown_segment"


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/*", False),
        (MEDIA_TYPE, True),
        (f"text/html, {MEDIA_TYPE.upper()};q=0.5", True),
        (f"{MEDIA_TYPE}; q=0, */*", False),
        ("application/json", False),
    ],
)
def test_only_who_names_it_gets_it(accepted: str, wanted: bool) -> None:
    """Whoever takes anything gets JSON."""
    assert is_wanted(accepted) is wanted


def test_what_a_stream_cannot_carry_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Components by their place; everything where there is no pyarrow, which JSON does not need."""
    refused = _ask([{"model_id": "a"}, {"model_id": "a", "components": True}])
    assert (refused.status_code, refused.json()["errors"][0]["place"]) == (400, "requests.1.components")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused = _ask([{"model_id": "a"}])
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert _ask([{"model_id": "a"}], "*/*").status_code == 200
