"""The example's page in a real browser, and the whole circle around it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.nextjs.local.stack import Supabase, running_app, train
from tests.e2e.nextjs.conftest import SCREENSHOTS, Forecasts
from tests.e2e.nextjs.people import Person, spending

pytestmark = pytest.mark.nextjs
Visit = Callable[..., dict[str, Any]]


def _shown(person: Person, category: str) -> list[list[str]]:
    """The database's predictions as the page writes numbers."""
    return [
        [f"{row[name]:,.2f}" for name in ("predicted_amount", "lower_bound", "upper_bound")]
        for row in person.predictions(category)
    ]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 1100), ("light", 390)])
def test_a_visitor_signs_in_picks_a_category_and_sees_the_chart(
    scheme: str, width: int, person: Person, visit: Visit
) -> None:
    """No request goes elsewhere and axe finds nothing, as in every visit."""
    person.spend("eating out", spending(1, 200))
    person.spend("groceries", spending(2, 200, a_day=2))
    shots = f"{scheme}-{width}"
    seen = visit(person, shots, category="groceries", days=30, scheme=scheme, width=width, signOut=True)
    assert seen["categories"] == ["eating out", "groceries"]
    assert seen["headline"].endswith("a day on groceries")
    assert seen["source"].startswith("Fitted just now")
    spent, expected = seen["lines"]
    assert min(spent, expected) > 50  # pixels, along the line
    assert len(seen["bands"]) == 1
    assert seen["bands"][0] > 10
    assert [row[1:] for row in seen["rows"]] == _shown(person, "groceries")
    assert len(seen["rows"]) == 30
    assert not seen["wide"]
    assert seen["complaints"] == []
    assert seen["cookies"]
    assert seen["scriptsSee"] == ""
    for name in ("login", "loading", "outlook", "numbers"):
        assert (SCREENSHOTS / f"{shots}-{name}.png").stat().st_size > 5_000


def test_a_wrong_password_is_refused_in_words(person: Person, visit: Visit) -> None:
    seen = visit(person, "refused", password="not it")
    assert seen["alert"] == "The address or the password is wrong."
    assert seen["cookies"] == []


def test_who_has_spent_nothing_is_told_so(person: Person, visit: Visit) -> None:
    seen = visit(person, "empty")
    assert seen["notice"] == "No transactions yet"
    assert seen["lines"] == []
    assert {(cookie["httpOnly"], cookie["sameSite"]) for cookie in seen["cookies"]} == {(True, "Lax")}


def test_a_category_with_a_single_day_says_what_is_missing(person: Person, visit: Visit) -> None:
    person.spend("once", spending(1, 1))
    seen = visit(person, "once", category="once")
    assert seen["alert"] == "A forecast needs spending on at least two days."


def test_a_service_that_is_down_leaves_a_page_that_says_so(
    person: Person, visit: Visit, supabase: Supabase, tmp_path: Path
) -> None:
    person.spend("groceries", spending(1, 60))
    with running_app(supabase, "http://127.0.0.1:9", "fk_any", tmp_path / "log") as url:
        seen = visit(person, "down", url=url, category="groceries")
    assert seen["alert"].startswith("The forecast service did not give a forecast.")
    assert "Try again" in seen["alert"]


def test_the_whole_circle(
    new_person: Callable[[], Person], forecasts: Forecasts, supabase: Supabase, visit: Visit
) -> None:
    """Transactions, the nightly job, champions, the route, predictions, the page; nobody sees the other's."""
    alice, bob = new_person(), new_person()
    alice.spend("groceries", spending(11, 220))
    alice.spend("young", spending(12, 60))
    bob.spend("groceries", spending(13, 220, a_day=3, level=500))
    fitted = alice.forecast(category="groceries", periods=30)
    assert fitted.json()["model"] == {"source": "history", "version": None, "trained_through": "2025-08-08T00:00:00"}

    done = train(supabase, forecasts.store)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    answer = _until_champion(alice)
    segment = f"user_{alice.session.user_id}_groceries"
    assert answer.json()["model"] == {"source": "champion", "version": 1, "trained_through": "2025-08-08T00:00:00"}
    asked = forecasts.ask(model_id=segment, periods=30).json()["forecast"]
    _assert_same(answer.json()["forecast"], asked)
    kept = [row["predicted_amount"] for row in alice.predictions("groceries")]
    assert kept == [row["yhat"] for row in answer.json()["forecast"]]

    his = _until_champion(bob)
    assert min(row["yhat_lower"] for row in his.json()["forecast"]) > 300
    assert max(row["yhat_upper"] for row in answer.json()["forecast"]) < 300
    young = alice.forecast(category="young")
    assert (young.status_code, young.json()["model"]["source"]) == (200, "history")

    # A day passes after the night: the champion, which has not seen it, forecasts the days after it.
    alice.spend("groceries", spending(11, 221)[-1:])
    later = alice.forecast(category="groceries", periods=30)
    assert later.json()["model"]["source"] == "champion"
    _assert_same(later.json()["forecast"][:29], answer.json()["forecast"][1:])

    seen = visit(alice, "champion", category="groceries")
    assert seen["source"].startswith("Champion, version 1")
    assert [row[1:] for row in seen["rows"]] == _shown(alice, "groceries")[-30:]


def _assert_same(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """Of the same days; to the last bit only where the same was asked for."""
    assert [row.pop("ds") for row in rows] == [row.pop("ds") for row in others]
    assert rows == [pytest.approx(row, rel=1e-9) for row in others]


def _until_champion(person: Person) -> httpx.Response:
    """Ask until the service has taken up the champion."""
    deadline = time.monotonic() + 60
    while True:
        answer = person.forecast(category="groceries", periods=30)
        assert answer.status_code == 200, answer.text
        if answer.json()["model"]["source"] == "champion" or time.monotonic() > deadline:
            return answer
        time.sleep(0.2)
