"""What the methods send, what they give back, and what they refuse to do."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import Any

import httpx
import pytest

import prophet_serving_client as client

from .conftest import Call
from .faults import Behaviour, Handler, answer, problem, serving

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_requests_carry_the_key_an_id_headers_and_a_body(call: Call) -> None:
    options = {"api_key": "fk_1_2", "headers": {"X-A": "1", "X-B": "1"}}
    with serving(answer({"forecast": []})) as server:
        call(f"{server.url}/", "forecast", {"model_id": "a", "periods": 3}, client=options, headers={"X-B": "2"})
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/forecast", b'{"model_id":"a","periods":3}')
    assert seen.headers["authorization"] == "Bearer fk_1_2"
    assert seen.headers["content-type"] == "application/json"
    assert (seen.headers["x-a"], seen.headers["x-b"]) == ("1", "2")
    assert UUID.fullmatch(seen.headers["x-request-id"])


def test_requests_have_no_key_where_there_is_none_and_keep_a_path(call: Call) -> None:
    with serving(answer({"status": "healthy"})) as server:
        call(f"{server.url}/behind/a/proxy/", "health", request_id="a.b:c-1")
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.headers["x-request-id"]) == ("GET", "/behind/a/proxy/health", "a.b:c-1")
    assert "authorization" not in seen.headers


def test_the_key_is_fetched_anew_for_each_call() -> None:
    tokens = ["one", "two", "three", "four"]

    async def fetched() -> str:
        return tokens.pop(0)

    async def ask(url: str) -> None:
        async with client.AsyncForecastClient(url, fetched) as caller:
            await caller.health()
        async with client.AsyncForecastClient(url, lambda: tokens.pop(0)) as caller:
            await caller.health()

    with serving(*[answer({})] * 4) as server:
        with client.ForecastClient(server.url, lambda: tokens.pop(0)) as caller:
            caller.health()
            caller.health()
        asyncio.run(ask(server.url))
    assert [seen.headers["authorization"] for seen in server.seen] == [
        "Bearer one",
        "Bearer two",
        "Bearer three",
        "Bearer four",
    ]


def test_an_http_client_of_the_caller_s_stays_his_to_close() -> None:
    with serving(answer({"status": "healthy"})) as server, httpx.Client() as http:
        with client.ForecastClient(server.url, http=http) as caller:
            assert caller.health()["status"] == "healthy"
        assert not http.is_closed


def test_a_batch_is_answered_in_the_order_asked(call: Call) -> None:
    results = [{"forecast": [], "model_id": "a"}, {"title": "", "status": 404, "detail": "", "code": "unknown_segment"}]
    with serving(answer({"results": results})) as server:
        found = call(server.url, "forecast_batch", ({"model_id": "a"}, {"model_id": "b"}))
    assert found == results
    assert [client.is_problem(result) for result in found] == [False, True]
    assert server.seen[0].path == "/forecast/batch"
    assert server.seen[0].body == b'{"requests":[{"model_id":"a"},{"model_id":"b"}]}'


def test_answers_in_gzip_are_read(call: Call) -> None:
    with serving(_zipped) as server:
        assert call(server.url, "health") == {"status": "healthy"}


def _zipped(handler: Handler) -> None:
    body = gzip.compress(b'{"status": "healthy"}')
    handler.send_response_only(200)
    for name, value in {
        "content-type": "application/json",
        "content-encoding": "gzip",
        "content-length": len(body),
    }.items():
        handler.send_header(name, str(value))
    handler.end_headers()
    handler.wfile.write(body)


def test_a_model_is_asked_for_by_its_whole_key(call: Call) -> None:
    with serving(answer({"model_id": "ü/50%?#"})) as server:
        assert call(server.url, "model", "ü/50%?#")["model_id"] == "ü/50%?#"
        with pytest.raises(ValueError, match="URL"):
            call(server.url, "model", "..")
    assert [seen.path for seen in server.seen] == ["/models/%C3%BC%2F50%25%3F%23"]


def _page(ids: str, following: str | None) -> Behaviour:
    return answer({"models": [{"model_id": each} for each in ids], "next_page_token": following})


def test_models_come_through_all_pages_an_empty_one_too(call: Call) -> None:
    with serving(_page("ab", "t&1"), _page("", "t2"), _page("c", None)) as server:
        found = call(server.url, "models", limit=2)
    assert [model["model_id"] for model in found] == ["a", "b", "c"]
    paths = ["/models?limit=2", "/models?limit=2&page_token=t%261", "/models?limit=2&page_token=t2"]
    assert [seen.path for seen in server.seen] == paths


def test_models_are_asked_for_only_as_far_as_they_are_looked_at() -> None:
    with serving(_page("ab", "t1")) as server, client.ForecastClient(server.url) as caller:
        models = caller.models()
        assert [next(models)["model_id"], next(models)["model_id"]] == ["a", "b"]
    assert [seen.path for seen in server.seen] == ["/models"]


def test_only_rejected_champions_are_asked_for_on_every_page(call: Call) -> None:
    with serving(_page("a", "t1"), _page("b", None)) as server:
        assert len(call(server.url, "models", rejected=True)) == 2
    assert [seen.path for seen in server.seen] == ["/models?rejected=true", "/models?rejected=true&page_token=t1"]


def test_pages_go_on_from_a_token_and_end_where_one_fails(call: Call) -> None:
    script = _page("c", "t3"), problem(400, "invalid_request")
    with serving(*script) as server, pytest.raises(client.BadRequestError):
        call(server.url, "model_pages", page_token="t2")
    assert [seen.path for seen in server.seen] == ["/models?page_token=t2", "/models?page_token=t3"]


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ключ"])
def test_a_key_that_no_header_carries_is_refused_without_being_repeated(call: Call, key: str) -> None:
    for given in (key, lambda: key):
        with pytest.raises(ValueError, match="environment variable") as refusal:
            call("http://127.0.0.1:1", "health", client={"api_key": given})
        assert not key or key not in str(refusal.value)


@pytest.mark.parametrize("url", ["", "localhost", "ftp://a", "http://", "http://me:pw@a", "http://a?b", "http://a#b"])
def test_base_urls_that_are_none_are_refused(call: Call, url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        call(url, "health")


@pytest.mark.parametrize(
    "wrong",
    [{"timeout": 0}, {"budget": float("nan")}, {"timeout": float("inf")}, {"retries": -1}],
)
def test_times_and_counts_that_make_no_sense_are_refused(call: Call, wrong: dict[str, Any]) -> None:
    for place in ({"client": wrong}, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            call("http://127.0.0.1:1", "health", **place)


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 65])
def test_request_ids_that_the_service_would_not_keep_are_refused(call: Call, request_id: str) -> None:
    with pytest.raises(ValueError, match="request_id"):
        call("http://127.0.0.1:1", "health", request_id=request_id)


def test_numbers_that_json_lacks_are_refused_before_anything_is_sent(call: Call) -> None:
    with pytest.raises(ValueError, match="JSON"):
        call("http://127.0.0.1:1", "forecast", {"data": [{"ds": "2024-01-01", "y": float("nan")}]})
