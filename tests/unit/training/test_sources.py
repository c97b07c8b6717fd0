"""Files and SQLite are read into one shape; PostgreSQL has its own test in tests/integration."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from training.config import SourceConfig
from training.errors import SourceError
from training.sources import read_history


def source(path: Path, **columns: str) -> SourceConfig:
    return SourceConfig.model_validate({"path": path, "columns": columns})


def csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "history.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_file_is_read_with_keys_and_dates_as_text(tmp_path: Path) -> None:
    path = csv(tmp_path, "id,day,amount,temp,other\n007,20240101,1.5,2,x\nNA,20240102,,3,y\n,20240103,4,,z\n")
    table = read_history(source(path, segment="id", ds="day", y="amount"), ["temp"])
    assert list(table.columns) == ["segment", "ds", "y", "temp"]
    assert list(table["segment"].iloc[:2]) == ["007", "NA"]
    assert pd.isna(table["segment"].iloc[2])
    assert list(table["ds"]) == ["20240101", "20240102", "20240103"]
    assert table["y"].isna().tolist() == [False, True, False]
    assert list(table.index) == [0, 1, 2]


def test_a_csv_file_may_start_with_a_byte_order_mark_and_hold_any_letters(tmp_path: Path) -> None:
    path = csv(tmp_path, "\ufeffsegment,ds,y\nZürich/🍎,2024-01-01,1\n")
    assert list(read_history(source(path))["segment"]) == ["Zürich/🍎"]


def test_a_word_among_the_numbers_is_left_for_the_checks_to_find(tmp_path: Path) -> None:
    table = read_history(source(csv(tmp_path, "segment,ds,y\na,2024-01-01,1\na,2024-01-02,oops\n")))
    assert list(table["y"]) == ["1", "oops"]


def test_caps_and_floors_come_along_when_they_are_there(tmp_path: Path) -> None:
    table = read_history(source(csv(tmp_path, "segment,ds,y,cap,price\na,2024-01-01,1,9,3\n")))
    assert list(table.columns) == ["segment", "ds", "y", "cap"]


@pytest.mark.parametrize("keys", [[1, 2], [1.0, 2.0], pd.Categorical(["1", "2"]), ["1", "2"]])
def test_a_parquet_file_is_read_and_its_keys_become_text(tmp_path: Path, keys: Any) -> None:
    path = tmp_path / "history.parquet"
    pd.DataFrame({"segment": keys, "ds": pd.to_datetime(["2024-01-01"] * 2), "y": [1, 2]}).to_parquet(path)
    table = read_history(source(path))
    assert list(table["segment"]) == ["1", "2"]
    assert table["ds"].dtype.kind == "M"


def test_missing_columns_are_named_beside_those_that_are_there(tmp_path: Path) -> None:
    path = csv(tmp_path, "segment,date,amout\na,2024-01-01,1\n")
    with pytest.raises(SourceError) as caught:
        read_history(source(path, y="amount"), ["temp"])
    said = str(caught.value)
    assert "'ds'" in said
    assert "'amount' (did you mean 'amout'?)" in said
    assert "'temp'" in said
    assert "its columns are 'segment', 'date', 'amout'" in said


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere.parquet", "history.xlsx"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=name):
        read_history(source(tmp_path / name))


@pytest.mark.parametrize("name", ["junk.csv", "junk.parquet", "empty.csv"])
def test_a_file_that_is_something_else_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"\xff\xfe\x00\x81junk\n\x9d")
    with pytest.raises(SourceError, match=name):
        read_history(source(tmp_path / name))


def sql(url: str, query: str) -> SourceConfig:
    return SourceConfig(url=url, query=query)


def test_a_query_is_read_by_any_database_and_may_hold_percent_signs_and_colons(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("create table sales (shop text, day text, amount real)")
        database.execute("insert into sales values ('a:b', '2024-01-01', 2), ('zz', '2024-01-01', 3)")
    query = "select shop as segment, day as ds, amount as y from sales where shop like '%:b'"
    table = read_history(sql(f"sqlite:///{tmp_path}/shop.db", query))
    assert table.to_dict("records") == [{"segment": "a:b", "ds": "2024-01-01", "y": 2.0}]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", r"OperationalError: near .*: syntax error$"),
        ("nonsense", "Could not parse"),
        ("oracle+nodriver://host/db", "oracle"),
        ("postgresql://host:port/db", "port"),
        ("postgresql://127.0.0.1:1/db", "connection"),
    ],
)
def test_a_query_that_fails_says_why(url: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read_history(sql(url, "select * from nothing"))


def test_a_query_whose_columns_share_a_name_is_refused() -> None:
    with pytest.raises(SourceError, match=r"'y' \(there 2 times\)"):
        read_history(sql("sqlite://", "select 'a' as segment, '2024-01-01' as ds, 1 as y, 2 as y"))
