"""Users of the example: what they spent, and what the app, PostgREST and the database say to and of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import psycopg

from examples.nextjs.local.stack import Session

FIRST_DAY = dt.date(2025, 1, 1)
Spent = tuple[dt.date, float]


@dataclass(frozen=True)
class Person:
    """A user who is signed in to the app."""

    session: Session
    app: httpx.Client

    def forecast(self, **body: Any) -> httpx.Response:
        """Ask the app."""
        return self.app.post("/api/forecast", json=body)

    def spend(self, category: str, spent: Iterable[Spent]) -> None:
        """Put transactions into the database, in an order that has nothing to do with their dates."""
        rows = [(self.session.user_id, category, date, amount) for date, amount in spent]
        shuffled = [rows[at] for at in np.random.default_rng(len(rows)).permutation(len(rows))]
        with (
            psycopg.connect(self.session.supabase.database_url) as connection,
            connection.cursor().copy("copy transactions (user_id, category, date, amount) from stdin") as copy,
        ):
            for row in shuffled:
                copy.write_row(row)

    def predictions(self, category: str) -> list[dict[str, Any]]:
        """What the database holds for this user, by the day."""
        query = "select date, predicted_amount, lower_bound, upper_bound, created_at from predictions"
        query += " where user_id = %s and category = %s order by date, id"
        with psycopg.connect(self.session.supabase.database_url, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(query.encode(), (self.session.user_id, category)).fetchall()

    def sees(self, table: str) -> list[dict[str, Any]]:
        """What PostgREST shows this user of a table."""
        with self.session.rest() as rest:
            answer = rest.get(f"/{table}", params={"select": "user_id,category"})
        answer.raise_for_status()
        rows: list[dict[str, Any]] = answer.json()
        return rows


def sign_in(app_url: str, session: Session) -> Person:
    """Sign in to the app as its page does."""
    app = httpx.Client(base_url=app_url, timeout=90, trust_env=False)
    answer = app.post("/api/session", json={"email": session.email, "password": session.password})
    assert answer.status_code == 204, answer.text
    return Person(session, app)


def spending(seed: int, days: int, a_day: int = 1, level: float = 40.0) -> list[Spent]:
    """Some transactions on each of some days: a trend, a week and noise, in hundredths."""
    noise = np.random.default_rng(seed)
    return [
        (FIRST_DAY + dt.timedelta(days=day), round(float(amount), 2))
        for day in range(days)
        for amount in noise.normal(level * (1 + day / 800 + 0.3 * (day % 7 == 5)), level / 12, a_day) / a_day
    ]


def by_day(spent: Iterable[Spent]) -> list[dict[str, Any]]:
    """Transactions as a history: sums of hundredths by the day, in order."""
    sums: dict[dt.date, int] = {}
    for date, amount in spent:
        sums[date] = sums.get(date, 0) + round(amount * 100)
    return [{"ds": date.isoformat(), "y": hundredths / 100} for date, hundredths in sorted(sums.items())]
