"""Histories are read from a real PostgreSQL."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy

from forecasting.history import check_history
from tests.unit.training.chunked import MEGABYTE, chunk_elsewhere
from training.config import SourceConfig
from training.errors import SourceError
from training.sources import read_batches


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


def read(url: str, query: str, **columns: str) -> pd.DataFrame:
    source = SourceConfig.model_validate({"url": url, "query": query, "columns": columns})
    return pd.concat(batch.astype({"segment": "str"}) for batch in read_batches(source))


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
        read(purchases, "select category as segment, date as ds, amount from transactions", y="amout")


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


def test_days_come_as_dates_and_not_as_objects(purchases: str) -> None:
    table = read(purchases, "select category as segment, date as ds, amount as y from transactions")
    assert table["ds"].dtype == "datetime64[ns]"
    assert table["y"].dtype == "float64"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux")
@pytest.mark.parametrize("rows", [700_000, pytest.param(5_000_000, marks=pytest.mark.slow)])
def test_a_table_larger_than_the_memory_allowed_is_chunked_whole(postgres_url: str, rows: int) -> None:
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "create table sales as select 'segment ' || mod(i, 2000) as segment, date '2020-01-01' + i / 2000 as ds,"
            f" i::numeric(12, 2) as y, {', '.join(f'i::float8 as x{n}' for n in range(8))}"
            f" from generate_series(0, {rows - 1}) i"
        )
    engine.dispose()
    columns = [f"x{n}" for n in range(8)]
    told = chunk_elsewhere(SourceConfig(url=postgres_url, query="select * from sales order by y"), rows, columns)
    assert (told["rows"], told["segments"]) == (rows, 2000)
    # A driver that fetched all rows would hold some 750 bytes a row: 25 of a float, 100 of a Decimal, 8 for each place.
    assert told["bytes"] < 300 * MEGABYTE, told
