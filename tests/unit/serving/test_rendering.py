"""What is written without a schema is what the schema says, to the last bit of every number."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from serving.outcomes import Answer, Refusal
from serving.problems import as_problem
from serving.rendering import batch_json, forecast_json, problem_json
from serving.schemas import BatchResponse, ColumnarForecast, Forecast, ModelInfo

FINITE = st.floats(allow_nan=False, allow_infinity=False)
INFO = ModelInfo(name='forecast.ä"b', version=3, run_id=None, trained_through="2024-01-31T00:00:00", solver="exact")
ANSWER = Answer(
    model_id='ä"b\n😀',
    generated_at="2026-01-01T00:00:00.000Z",
    model=INFO.model_dump_json().encode(),
    ds=["2024-02-01", "2024-02-02"],
    yhat=[1.0, -0.0],
    yhat_lower=[5e-324, 1e22],
    yhat_upper=[0.1 + 0.2, 1.7976931348623157e308],
    interval_width=0.8,
)


@given(st.lists(st.tuples(FINITE, FINITE, FINITE), max_size=8))
def test_numbers_read_back_as_the_same_floats(rows: list[tuple[float, float, float]]) -> None:
    """As from Python's own json: every finite float, the sign of a zero too."""
    yhat, lower, upper = ([*column] for column in zip(*rows, strict=True)) if rows else ([], [], [])
    answer = replace(ANSWER, ds=["2024-02-01"] * len(rows), yhat=yhat, yhat_lower=lower, yhat_upper=upper)
    read = json.loads(forecast_json(answer, "rows"))["forecast"]
    assert [[repr(row[name]) for name in ("yhat", "yhat_lower", "yhat_upper")] for row in read] == [
        [repr(json.loads(json.dumps(number))) for number in row] for row in rows
    ]
    columns = json.loads(forecast_json(answer, "columns"))["columns"]
    assert list(map(repr, columns["yhat_upper"])) == list(map(repr, upper))


@pytest.mark.parametrize("components", [None, {"trend": [1.0, 2.0], "wöchentlich": [0.5, 0.25]}])
def test_both_forms_are_valid_and_say_the_same(components: dict[str, list[float]] | None) -> None:
    """Against the strict schemas, which know no other field."""
    answer = replace(ANSWER, components=components)
    rows = Forecast.model_validate_json(forecast_json(answer, "rows"))
    columns = ColumnarForecast.model_validate_json(forecast_json(answer, "columns"))
    assert [row.ds for row in rows.forecast] == columns.columns.ds == [*ANSWER.ds]
    assert [row.yhat_lower for row in rows.forecast] == columns.columns.yhat_lower == [*ANSWER.yhat_lower]
    for read in (rows, columns):
        assert (read.model_id, read.model, read.components) == (ANSWER.model_id, INFO, components)
    assert (b'"components"' in forecast_json(answer, "rows")) == (components is not None)


def test_a_batch_holds_results_of_every_kind() -> None:
    """In the order given."""
    problem = as_problem(Refusal("unknown_segment", "there is no segment 'x'"))
    body = batch_json([forecast_json(ANSWER, "rows"), problem_json(problem), forecast_json(ANSWER, "columns")])
    read = TypeAdapter(BatchResponse).validate_json(body)
    assert [type(result).__name__ for result in read.results] == ["Forecast", "Problem", "ColumnarForecast"]
    assert read.results[1] == problem
