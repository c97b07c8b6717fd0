"""Files and SQLite are read into one shape; PostgreSQL has its own test in tests/integration."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training import sources
from training.config import SourceConfig
from training.errors import SourceError
from training.sources import read_batches


def read_history(source: SourceConfig, extra_columns: Sequence[str] = ()) -> pd.DataFrame:
    """All batches as one table."""
    return pd.concat(batch.astype({"segment": "str"}) for batch in read_batches(source, extra_columns))


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


BIG = 2**53 + 1  # the first whole number that a float cannot hold


@pytest.mark.parametrize(
    ("keys", "texts"),
    [
        (pa.array([BIG, None]), [str(BIG), None]),
        (pa.array([1.0, 1.5, None]), ["1", "1.5", None]),
        (pa.array([Decimal("1.00"), Decimal("2.50"), Decimal("100")]), ["1", "2.5", "100"]),
        (pa.array([dt.date(2024, 1, 31)]), ["2024-01-31"]),
        (pa.array([True, None]), ["True", None]),
        (pa.array(["é🍎", "", " ", "NaN"]), ["é🍎", None, None, "NaN"]),
    ],
    ids=str,
)
def test_keys_of_any_type_become_the_text_that_a_person_would_write(
    tmp_path: Path, keys: pa.Array, texts: list[str | None]
) -> None:
    path = tmp_path / "history.parquet"
    pq.write_table(pa.table({"segment": keys, "ds": [2024] * len(keys), "y": [1.0] * len(keys)}), path)
    assert [None if pd.isna(key) else key for key in read_history(source(path))["segment"]] == texts


def test_batches_number_the_rows_of_the_source_and_a_late_word_leaves_earlier_batches_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BATCH_ROWS", 2)
    path = csv(tmp_path, "segment,ds,y\n" + "".join(f"a,2024-01-0{day},{day}\n" for day in range(1, 5)) + "b,,oops\n")
    batches = list(read_batches(source(path)))
    assert [list(batch.index) for batch in batches] == [[0, 1], [2, 3], [4]]
    assert [list(batch["segment"]) for batch in batches] == [["a", "a"], ["a", "a"], ["b"]]
    assert [batch["y"].dtype.kind for batch in batches[:2]] == ["i", "i"]
    assert list(batches[2]["y"]) == ["oops"]


def test_a_truth_value_in_a_late_batch_does_not_become_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BATCH_ROWS", 1)
    table = read_history(source(csv(tmp_path, "segment,ds,y\na,2024-01-01,1\na,2024-01-02,True\n")))
    assert list(map(str, table["y"])) == ["1", "True"]


def test_a_partitioned_folder_gives_its_folders_names_as_text_and_hides_what_is_hidden(tmp_path: Path) -> None:
    table = pa.table({"ds": [dt.date(2024, 1, 1)], "y": [Decimal("1.50")]})
    for name in ("shop=007/year=2024", "shop=a%2Fb/year=2023", "shop=__HIVE_DEFAULT_PARTITION__/year=2024"):
        (tmp_path / name).mkdir(parents=True)
        pq.write_table(table, tmp_path / name / "part-0.parquet")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "_delta_log").mkdir()
    (tmp_path / "_delta_log" / "0.json").touch()
    read = read_history(source(tmp_path, segment="shop"), ["year"])
    assert [None if pd.isna(key) else key for key in read["segment"]] == ["007", None, "a/b"]
    assert list(read["year"]) == ["2024", "2024", "2023"]
    assert list(read["y"]) == [1.5] * 3
    assert read["ds"].dtype == "datetime64[ns]"


def test_a_column_of_the_file_goes_before_the_one_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "segment=7").mkdir()
    pq.write_table(pa.table({"segment": ["seven"], "ds": [2024], "y": [1]}), tmp_path / "segment=7" / "0.parquet")
    assert list(read_history(source(tmp_path))["segment"]) == ["seven"]


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no Parquet file in this folder"):
        read_history(source(tmp_path))


@pytest.mark.parametrize(("sound", "said"), [(5, r"Expected 3 fields in line 7, saw 4"), (0, "more fields than")])
def test_a_line_with_a_field_too_many_is_refused_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: int, said: str
) -> None:
    monkeypatch.setattr(sources, "BATCH_ROWS", 2)
    path = csv(tmp_path, "segment,ds,y\n" + "a,2024-01-01,1\n" * sound + "a,b,2024-01-01,1\n")
    with pytest.raises(SourceError, match=rf"history\.csv: .*{said}"):
        read_history(source(path))


def test_a_models_column_may_not_be_called_like_the_key(tmp_path: Path) -> None:
    path = csv(tmp_path, "id,ds,y,segment\na,2024-01-01,1,2\n")
    with pytest.raises(SourceError, match="cannot be called 'segment'"):
        read_history(source(path, segment="id"), ["segment"])


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


def test_large_keys_of_a_query_stay_apart_beside_a_missing_one() -> None:
    query = (
        f"select {BIG} as segment, 2024 as ds, 1 as y union all select {BIG - 1}, 2024, 1 union all select null, 1, 1"
    )
    table = read_history(sql("sqlite://", query))
    assert set(table["segment"].dropna()) == {str(BIG), str(BIG - 1)}


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
