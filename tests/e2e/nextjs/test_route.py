"""POST /api/forecast of the example: who is answered what, and what the database holds afterwards."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable

import httpx
import pytest

from examples.nextjs.local.stack import Supabase
from tests.e2e.nextjs.conftest import Forecasts
from tests.e2e.nextjs.people import Person, by_day, spending

pytestmark = pytest.mark.nextjs


def _as_rows(answer: httpx.Response) -> list[tuple[str, float, float, float]]:
    return [(row["ds"], row["yhat"], row["yhat_lower"], row["yhat_upper"]) for row in answer.json()["forecast"]]


def _kept(person: Person, category: str) -> list[tuple[str, float, float, float]]:
    return [
        (row["date"].isoformat(), row["predicted_amount"], row["lower_bound"], row["upper_bound"])
        for row in person.predictions(category)
    ]


@pytest.mark.parametrize("session", ["none", "not one", "forged"])
def test_who_is_not_signed_in_gets_nothing(session: str, app: str, person: Person) -> None:
    person.spend("groceries", spending(1, 30))
    [(name, value)] = person.app.cookies.items()
    forged = value[:-40] + "A" * 40  # base64 of a session whose end is another
    cookies = {"none": {}, "not one": {name: "base64-nonsense"}, "forged": {name: forged}}[session]
    with httpx.Client(base_url=app, cookies=cookies, timeout=60, trust_env=False) as nobody:
        answer = nobody.post("/api/forecast", json={"category": "groceries"})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["content-type"] == "application/problem+json"
        page = nobody.get("/")
        assert (page.status_code, page.headers["location"]) == (307, "/login")
    assert person.predictions("groceries") == []


def test_a_token_that_was_signed_by_somebody_else_is_nobody_s(person: Person, app: str, supabase: Supabase) -> None:
    """A session cookie as the app's own, whole but for the signature of its token."""
    person.spend("groceries", spending(1, 30))
    told = {"apikey": supabase.publishable_key}
    body = {"email": person.session.email, "password": person.session.password}
    url = f"{supabase.url}/auth/v1/token?grant_type=password"
    session = httpx.post(url, json=body, headers=told, trust_env=False, timeout=60).json()
    [name] = person.app.cookies.keys()

    def ask(token: str) -> httpx.Response:
        cookies = {name: json.dumps({**session, "access_token": token}).replace('"', "%22").replace(",", "%2C")}
        with httpx.Client(base_url=app, cookies=cookies, timeout=60, trust_env=False) as client:
            return client.post("/api/forecast", json={"category": "groceries"})

    head, payload, signature = session["access_token"].split(".")
    assert ask(session["access_token"]).status_code == 200
    assert ask(f"{head}.{payload}.{signature[::-1]}").status_code == 401


@pytest.mark.parametrize("path", ["/api/forecast", "/"])
def test_a_session_whose_token_has_run_out_is_renewed(path: str, person: Person, app: str) -> None:
    """By the route itself, and before a page is made, which could not keep the new one."""
    person.spend("groceries", spending(1, 30))
    [(name, value)] = person.app.cookies.items()
    session = json.loads(base64.urlsafe_b64decode(value.removeprefix("base64-") + "=="))
    ended = base64.urlsafe_b64encode(json.dumps({**session, "expires_at": 1}).encode()).decode().rstrip("=")
    with httpx.Client(base_url=app, cookies={name: f"base64-{ended}"}, timeout=60, trust_env=False) as client:
        answer = client.post(path, json={"category": "groceries"}) if "api" in path else client.get(path)
        assert answer.status_code == 200, answer.text
        renewed = answer.cookies[name]
    kept = json.loads(base64.urlsafe_b64decode(renewed.removeprefix("base64-") + "=="))
    assert kept["refresh_token"] != session["refresh_token"]
    assert kept["user"]["id"] == person.session.user_id


def test_who_signs_out_is_signed_out_at_supabase_too(person: Person, app: str) -> None:
    """Whoever has kept a copy of the cookie has nothing."""
    copy = dict(person.app.cookies)
    assert person.app.delete("/api/session").status_code == 204
    assert dict(person.app.cookies) == {}
    with httpx.Client(base_url=app, cookies=copy, timeout=60, trust_env=False) as thief:
        assert thief.post("/api/forecast", json={"category": "groceries"}).status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "code", "fields"),
    [
        ("{", 400, "malformed_json", None),
        ("[]", 422, "invalid_request", ["body"]),
        ('"' + "x" * 20_000 + '"', 413, "too_large", None),
        ("{}", 422, "invalid_request", ["category"]),
        ('{"category": "  ", "periods": 0}', 422, "invalid_request", ["category", "periods"]),
        ('{"category": "groceries", "periods": 366}', 422, "invalid_request", ["periods"]),
        ('{"category": "groceries", "periods": "30"}', 422, "invalid_request", ["periods"]),
        ('{"category": "groceries", "periods": 1.5}', 422, "invalid_request", ["periods"]),
    ],
)
def test_a_body_that_is_not_right_is_refused_with_its_faults(
    person: Person, body: str, status: int, code: str, fields: list[str] | None
) -> None:
    answer = person.app.post("/api/forecast", content=body, headers={"content-type": "application/json"})
    told = answer.json()
    assert (answer.status_code, told["code"], told["success"]) == (status, code, False)
    assert [fault["field"] for fault in told.get("errors", [])] == (fields or [])


def test_a_form_of_another_site_is_no_request(person: Person) -> None:
    """A browser sends forms and plain text to anybody without asking, and cookies with them."""
    answer = person.app.post(
        "/api/forecast", content='{"category": "groceries"}', headers={"content-type": "text/plain"}
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "not_json")


def test_categories_without_enough_in_them(person: Person) -> None:
    person.spend("once", spending(1, 1, a_day=3))
    unknown = person.forecast(category="nothing")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_category")
    once = person.forecast(category="once")
    assert (once.status_code, once.json()["code"]) == (422, "too_few_days")
    assert person.predictions("once") == []


def test_predictions_are_what_the_answer_says_and_asking_again_doubles_nothing(person: Person) -> None:
    person.spend("groceries", spending(3, 90))
    first = person.forecast(category="groceries", periods=14)
    assert first.status_code == 200, first.text
    assert first.json()["success"] is True
    assert first.json()["model"]["source"] == "history"
    assert len(_as_rows(first)) == 14
    assert _kept(person, "groceries") == _as_rows(first)

    again = person.forecast(category="groceries", periods=14)
    assert _as_rows(again) == _as_rows(first)
    assert _kept(person, "groceries") == _as_rows(first)

    # An earlier day changes, the days ahead are the same: their rows get the new forecast, and its time.
    before = {row["created_at"] for row in person.predictions("groceries")}
    person.spend("groceries", [(dt.date(2025, 2, 1), 500.0)])
    changed = person.forecast(category="groceries", periods=14)
    assert [row[0] for row in _as_rows(changed)] == [row[0] for row in _as_rows(first)]
    assert _as_rows(changed) != _as_rows(first)
    assert _kept(person, "groceries") == _as_rows(changed)
    assert before.isdisjoint(row["created_at"] for row in person.predictions("groceries"))


def test_a_category_of_1500_transactions_is_read_whole(person: Person, forecasts: Forecasts) -> None:
    """PostgREST gives 1,000 rows at most; all of them together must make the forecast, in hundredths."""
    spent = spending(4, days=300, a_day=5)
    assert len(spent) == 1500
    with person.session.rest() as rest:
        person.spend("coffee", spent)
        assert len(rest.get("/transactions", params={"category": "eq.coffee"}).json()) == 1000
    answer = person.forecast(category="coffee", periods=30)
    assert answer.status_code == 200, answer.text
    history = by_day(spent)
    assert answer.json()["history"] == history[-180:]
    asked = forecasts.ask(model_id="any", periods=30, freq="D", data=history)
    assert [tuple(row.values()) for row in asked.json()["forecast"]] == _as_rows(answer)


def test_names_that_mean_something_elsewhere_are_just_names(person: Person) -> None:
    """In a filter of PostgREST, in a URL, in the registry."""
    name = 'a,b.c:"d"/../%2F (x) ü'
    person.spend(name, spending(5, 40))
    person.spend("other", spending(6, 40, level=900))
    answer = person.forecast(category=name, periods=3)
    assert answer.status_code == 200, answer.text
    assert answer.json()["history"] == by_day(spending(5, 40))
    assert _kept(person, name) == _as_rows(answer)


def test_two_users_never_see_each_other(new_person: Callable[[], Person], supabase: Supabase) -> None:
    alice, bob = new_person(), new_person()
    alice.spend("groceries", spending(7, 60, level=40))
    alice.spend("secret", spending(8, 60))
    bob.spend("groceries", spending(9, 60, level=4000))
    hers, his = alice.forecast(category="groceries"), bob.forecast(category="groceries")
    assert hers.json()["history"] == by_day(spending(7, 60, level=40))
    assert his.json()["history"] == by_day(spending(9, 60, level=4000))
    assert _kept(alice, "groceries") == _as_rows(hers)
    assert _kept(bob, "groceries") == _as_rows(his)
    assert bob.forecast(category="secret").status_code == 404
    assert "secret" not in bob.app.get("/").text
    assert "secret" in alice.app.get("/").text

    for table in ("transactions", "predictions"):
        for person in (alice, bob):
            assert {row["user_id"] for row in person.sees(table)} == {person.session.user_id}
    assert {row["category"] for row in bob.sees("transactions")} == {"groceries"}
    with bob.session.rest() as rest:
        row = {"user_id": alice.session.user_id, "category": "groceries", "date": "2025-01-01", "amount": 1}
        forged = rest.post("/transactions", json=row)
        assert (forged.status_code, forged.json()["code"]) == (403, "42501")
        hers_only = {"user_id": f"eq.{alice.session.user_id}"}
        changed = rest.patch(
            "/predictions", params=hers_only, json={"predicted_amount": 0}, headers={"Prefer": "return=representation"}
        )
        assert changed.json() == []
    assert _kept(alice, "groceries") == _as_rows(hers)
    anonymous = httpx.get(
        f"{supabase.url}/rest/v1/predictions", headers={"apikey": supabase.publishable_key}, trust_env=False
    )
    assert anonymous.status_code == 401
