"""The HTTP contract as the Next.js backend and every careless caller meet it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from tests.e2e.conftest import Service
from tests.points import points

DAYS = points(60)


def test_the_nextjs_backend_gets_what_it_was_promised(service: Service) -> None:
    """Inline data, 30 periods: exactly four fields a row, for the 30 days after the history."""
    answer = service.forecast(data=DAYS, periods=30, model_id="user_1_food")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert all(list(row) == ["ds", "yhat", "yhat_lower", "yhat_upper"] for row in body["forecast"])
    assert [row["ds"] for row in body["forecast"]] == [
        f"{day:%Y-%m-%d}" for day in pd.date_range("2024-03-01", periods=30)
    ]
    assert all(row["yhat_lower"] < row["yhat"] < row["yhat_upper"] for row in body["forecast"])
    assert body["model_id"] == "user_1_food"
    assert pd.Timestamp(body["generated_at"]).tzinfo is not None


def test_the_same_question_gets_the_same_answer(service: Service) -> None:
    """Prophet draws its interval at random; here the draw belongs to the question."""
    answers = [service.forecast(data=DAYS, periods=5).json()["forecast"] for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]


def test_sub_daily_history_is_answered_with_times(service: Service) -> None:
    """Hours in, hours out; offsets are turned into UTC."""
    data = [{"ds": f"{point['ds']}+01:00", "y": point["y"]} for point in points(72, "h")]
    answer = service.forecast(data=data, periods=2)
    assert answer.status_code == 200, answer.text
    rows = answer.json()["forecast"]
    assert [row["ds"] for row in rows] == ["2024-01-03T23:00:00", "2024-01-04T00:00:00"]


def test_options_change_the_rows_and_the_width(service: Service) -> None:
    """start, freq, interval_width, include_history and components do what they say."""
    narrow = service.forecast(data=DAYS, periods=3, interval_width=0.5).json()["forecast"][0]
    wide = service.forecast(data=DAYS, periods=3, interval_width=0.95).json()["forecast"][0]
    assert wide["yhat_upper"] - wide["yhat_lower"] > narrow["yhat_upper"] - narrow["yhat_lower"]

    weekly = service.forecast(data=DAYS, periods=2, start="2024-05-06", freq="7D").json()["forecast"]
    assert [row["ds"] for row in weekly] == ["2024-05-06", "2024-05-13"]

    whole = service.forecast(data=DAYS, periods=4, include_history=True, components=True).json()
    assert len(whole["forecast"]) == 64
    assert set(whole["components"]) == {"trend", "weekly"}
    assert all(len(values) == 64 for values in whole["components"].values())


BAD: list[tuple[str, Any, int, str]] = [
    ("unknown segment", {"model_id": "nobody"}, 404, "unknown_segment"),
    ("a name that no database takes", {"model_id": "a\0b"}, 404, "unknown_segment"),
    ("periods 0", {"data": DAYS, "periods": 0}, 400, "invalid_request"),
    ("periods -1", {"data": DAYS, "periods": -1}, 400, "invalid_request"),
    ("periods 10^9", {"data": DAYS, "periods": 10**9}, 400, "invalid_request"),
    ("periods as text", {"data": DAYS, "periods": "x"}, 400, "invalid_request"),
    ("periods as a number in text", {"data": DAYS, "periods": "30"}, 400, "invalid_request"),
    ("one point", {"data": DAYS[:1]}, 400, "too_few_points"),
    ("no points", {"data": []}, 400, "too_few_points"),
    ("a y that is text", {"data": [*DAYS, {"ds": "2024-06-01", "y": "12"}]}, 400, "invalid_request"),
    ("a y that is null", {"data": [*DAYS, {"ds": "2024-06-01", "y": None}]}, 400, "invalid_request"),
    ("a ds that is a number", {"data": [*DAYS, {"ds": 20240601, "y": 1}]}, 400, "invalid_request"),
    ("a ds that is no date", {"data": [*DAYS, {"ds": "2024-13-01", "y": 1}]}, 400, "invalid_history"),
    ("unsorted dates", {"data": DAYS[::-1]}, 400, "invalid_history"),
    ("duplicate dates", {"data": [*DAYS, DAYS[-1]]}, 400, "invalid_history"),
    ("unsorted and duplicate dates", {"data": [*DAYS[::-1], DAYS[0]]}, 400, "invalid_history"),
    ("an unknown key", {"data": DAYS, "horizon": 3}, 400, "invalid_request"),
    ("an unknown frequency", {"data": DAYS, "freq": "fortnight"}, 400, "invalid_request"),
    ("a start that is no date", {"data": DAYS, "start": "soon"}, 400, "invalid_request"),
    ("a start beyond the calendar", {"data": DAYS, "start": "9999-12-31"}, 400, "invalid_request"),
    ("rows beyond the calendar", {"data": DAYS, "freq": "1000YS"}, 400, "invalid_request"),
    ("an interval of everything", {"data": DAYS, "interval_width": 1}, 400, "invalid_request"),
    ("a regressor that the model has not", {"data": DAYS, "regressors": {"rain": [1.0] * 30}}, 400, "invalid_request"),
    ("data and version", {"data": DAYS, "version": 1}, 400, "invalid_request"),
    ("a version beyond numbers", {"model_id": "x", "version": 10**30}, 400, "invalid_request"),
    ("a list", [1, 2], 400, "invalid_request"),
]


@pytest.mark.parametrize(("body", "status", "code"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_request_is_refused_with_its_reason(service: Service, body: Any, status: int, code: str) -> None:
    """Each has its 4xx and its stable code."""
    _is_problem(service, service.http.post("/forecast", json=body), status, code)


RAW = [
    ("broken JSON", b'{"data": [', 400, "malformed_json"),
    ("an empty body", b"", 400, "malformed_json"),
    ("half a surrogate pair", rb'{"model_id": "\ud800"}', 400, "malformed_json"),
    ("not UTF-8", b'{"model_id": "\xff"}', 400, "malformed_json"),
    ("NaN", b'{"data": [{"ds": "2024-01-01", "y": NaN}, {"ds": "2024-01-02", "y": 1}]}', 400, "invalid_request"),
    ("infinity", b'{"data": [{"ds": "2024-01-01", "y": 1e999}, {"ds": "2024-01-02", "y": 1}]}', 400, "invalid_request"),
    ("10 MB of junk", b"x" * 10_000_000, 413, "body_too_large"),
    ("a very deep list", b"[" * 100_000, 400, "malformed_json"),
]


@pytest.mark.parametrize(("body", "status", "code"), [case[1:] for case in RAW], ids=[case[0] for case in RAW])
def test_a_body_that_json_cannot_say_is_refused(service: Service, body: bytes, status: int, code: str) -> None:
    """Junk never gets further than the reader."""
    _is_problem(service, service.http.post("/forecast", content=body), status, code)


def test_a_large_body_is_refused_even_when_its_length_is_not_told(service: Service) -> None:
    """A chunked body has no content-length to look at."""
    answer = service.http.post("/forecast", content=(b"x" * 100_000 for _ in range(100)))
    _is_problem(service, answer, 413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/forecast", 405, "method_not_allowed"),
        ("DELETE", "/forecast/batch", 405, "method_not_allowed"),
        ("POST", "/models", 405, "method_not_allowed"),
        ("GET", "/nothing/here", 404, "not_found"),
        ("POST", "/forecast/", 404, "not_found"),
        ("GET", "/nothing%0Ahere", 404, "not_found"),
        ("GET", "/models/no%0Abody", 404, "unknown_segment"),
        ("GET", "/models/nobody", 404, "unknown_segment"),
        ("GET", "/models?limit=0", 400, "invalid_request"),
        ("GET", "/models?limit=ten", 400, "invalid_request"),
        ("GET", "/models?page_token=junk", 400, "invalid_request"),
        ("GET", "/models?page_token=%C3%A4", 400, "invalid_request"),
    ],
)
def test_wrong_methods_and_paths_are_problems_too(
    service: Service, method: str, path: str, status: int, code: str
) -> None:
    """The frame of the contract answers in the same form as its content."""
    _is_problem(service, service.http.request(method, path), status, code)


def test_every_fault_of_a_history_is_named_with_its_place(service: Service) -> None:
    """The caller can mend all of it at once."""
    data = [
        {"ds": "2024-01-01", "y": 1},
        {"ds": "first of May", "y": 2},
        {"ds": "2024-01-01", "y": 3},
        {"ds": "2024-01-04", "y": 4},
    ]
    problem = service.forecast(data=data).json()
    places = {fault["place"]: fault["message"] for fault in problem["errors"]}
    assert set(places) == {"data.1.ds", "data.2.ds"}
    assert "first of May" in places["data.1.ds"]


def test_one_bad_item_leaves_the_rest_of_a_batch_alone(service: Service) -> None:
    """Results stand in the order asked, forecasts and problems mixed."""
    asked = [
        {"data": DAYS, "periods": 2, "model_id": "a"},
        {"model_id": "nobody"},
        {"data": DAYS[:1]},
        {"data": DAYS, "periods": 1},
    ]
    results = service.http.post("/forecast/batch", json={"requests": asked}).json()["results"]
    assert [len(result.get("forecast", [])) for result in results] == [2, 0, 0, 1]
    assert [result.get("code") for result in results] == [None, "unknown_segment", "too_few_points", None]


def test_a_batch_has_a_limit(service: Service) -> None:
    """1,001 requests are one too many."""
    answer = service.http.post("/forecast/batch", json={"requests": [{"model_id": "x"}] * 1001})
    _is_problem(service, answer, 400, "invalid_request")


def test_answers_are_what_the_document_says(service: Service) -> None:
    """Real bodies, good and bad, are valid against the schemas that /openapi.json serves."""
    document = service.http.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    bodies = {
        "Forecast": service.forecast(data=DAYS, periods=2, components=True),
        "ColumnarForecast": service.forecast(data=DAYS, periods=2, components=True, format="columns"),
        "Problem": service.forecast(data=DAYS, periods=0),
        "BatchResponse": service.http.post(
            "/forecast/batch", json={"requests": [{"data": DAYS}, {"model_id": "nobody"}]}
        ),
        "Health": service.http.get("/health"),
        "ServedModels": service.http.get("/models"),
    }
    for name, answer in bodies.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(answer.json())


def test_health_and_readiness_say_how_it_is(service: Service) -> None:
    """The probes that load balancers and people use."""
    assert service.http.get("/livez").status_code == 200
    assert service.http.get("/readyz").status_code == 200
    health = service.http.get("/health").json()
    catalog = health.pop("catalog")
    assert health == {
        "status": "healthy",
        "service": "prophet-forecast",
        "registry": "reachable",
        "problems": [],
    }
    assert (catalog["rejected"], catalog["sync_errors"]) == (0, 0)
    assert catalog["written_at"] is not None
    assert catalog["age_seconds"] < 60
    assert "forecast_catalog_segments" in service.http.get("/metrics").text


def test_metrics_do_not_grow_with_the_paths_asked_for(service: Service) -> None:
    """A scanner that tries a thousand paths leaves a handful of lines."""
    service.http.get("/models/warm-up"), service.http.get("/warm-up")
    before = len(service.http.get("/metrics").text.splitlines())
    for number in range(50):
        service.http.get(f"/models/segment-{number}")
        service.http.get(f"/junk-{number}")
    after = service.http.get("/metrics").text
    assert len(after.splitlines()) <= before + 40
    assert "junk-7" not in after
    assert "segment-7" not in after


def _is_problem(service: Service, answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.text)
    assert (problem["code"], problem["status"]) == (code, status)
    assert "Traceback" not in answer.text
    assert "Traceback" not in service.log.read_text()
