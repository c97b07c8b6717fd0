"""Histories are read from a real PostgreSQL."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest
import sqlalchemy

from forecasting.history import check_history
from training.config import SourceConfig
from training.errors import SourceError
from training.sources import read_history


@pytest.fixture
def purchases(postgres_url: str) -> str:
    """The URL of a database with a table `transactions`, of what two users bought."""
    rows = [
        {"u": user, "c": category, "d": dt.date(2024, 1, 1) + dt.timedelta(days=day), "a": day + 0.25, "n": "50%_:x"}
        for user, category in [(1, "food"), (42, "groceries")]
        for day in [0, 0, 1, 2, 3]
    ]
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "create table transactions (id serial, user_id int, category text, date date, amount numeric(12, 2),"
            " note text, at timestamptz default '2024-01-01 12:00+02')"
        )
        insert = "insert into transactions (user_id, category, date, amount, note) values (:u, :c, :d, :a, :n)"
        connection.execute(sqlalchemy.text(insert), rows)
    engine.dispose()
    return postgres_url


def read(url: str, query: str) -> pd.DataFrame:
    return read_history(SourceConfig(url=url, query=query))


def test_segments_are_made_and_amounts_summed_by_the_query(purchases: str) -> None:
    table = read(
        purchases,
        "select user_id || '_' || category as segment, date as ds, sum(amount) as y"
        " from transactions group by 1, 2 order by 1, 2",
    )
    assert sorted(set(table["segment"])) == ["1_food", "42_groceries"]
    history = check_history(table[table["segment"] == "1_food"])
    assert list(history.frame["ds"]) == list(pd.date_range("2024-01-01", periods=4))
    assert list(history.frame["y"]) == [0.5, 1.25, 2.25, 3.25]
    assert history.freq == "D"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_url_without_a_driver_is_read_by_psycopg_3(purchases: str, scheme: str) -> None:
    url = f"{scheme}://{purchases.partition('://')[2]}"
    table = read(url, "select user_id as segment, date as ds, amount as y from transactions")
    assert set(table["segment"]) == {"1", "42"}


def test_percent_signs_colons_and_casts_in_a_query_stand_for_themselves(purchases: str) -> None:
    query = (
        "select user_id::text as segment, date as ds, amount::float8 as y from transactions where note like '50%_:x'"
    )
    assert len(read(purchases, query)) == 10


def test_times_with_a_zone_come_out_in_utc(purchases: str) -> None:
    query = "select 'a' as segment, at + id * interval '1 day' as ds, amount as y from transactions"
    history = check_history(read(purchases, query))
    assert history.frame["ds"].iloc[0] == pd.Timestamp("2024-01-02 10:00")


def test_a_missing_key_and_a_missing_amount_stay_missing(purchases: str) -> None:
    table = read(purchases, "select null::text as segment, date as ds, null::numeric as y from transactions limit 2")
    assert table["segment"].isna().all()
    assert table["y"].isna().all()


def test_a_query_that_the_database_refuses_is_told_in_its_words(purchases: str) -> None:
    with pytest.raises(SourceError, match='relation "nothing" does not exist'):
        read(purchases, "select * from nothing")
    with pytest.raises(SourceError, match="did you mean 'amount'"):
        read_history(SourceConfig.model_validate({
            "url": purchases, "query": "select category as segment, date as ds, amount from transactions",
            "columns": {"y": "amout"},
        }))  # fmt: skip


def test_a_query_that_returns_no_table_is_refused(purchases: str) -> None:
    with pytest.raises(SourceError):
        read(purchases, "update transactions set amount = 0")
    untouched = read(
        purchases, "select category as segment, date as ds, amount as y from transactions where amount > 0"
    )
    assert len(untouched) == 10


def test_a_wrong_password_is_not_repeated(purchases: str) -> None:
    url = sqlalchemy.make_url(purchases).set(password="hunter2", database="no_such_database")
    with pytest.raises(SourceError) as caught:
        read(url.render_as_string(hide_password=False), "select 1")
    assert "hunter2" not in str(caught.value)
