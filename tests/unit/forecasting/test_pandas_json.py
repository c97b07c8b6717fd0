"""What we write as tables and series, pandas reads as its own."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.pandas_json import Texts, date_texts, number_texts, series_text, table_text

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
NUMBERS = st.floats(-1e15, 1e15) | st.sampled_from([0.0, -0.0, 1e-300, 5e-324, 1e22, np.nan, np.inf, -np.inf])
MICROSECONDS = st.integers(-(10**15), 4 * 10**15)


@settings(max_examples=100, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.lists(NUMBERS, min_size=1, max_size=5))
def test_a_table_has_its_names_and_numbers_whatever_they_are(names: list[str], numbers: list[float]) -> None:
    values = np.array(numbers)
    written = table_text({name: number_texts(values * (place + 1)) for place, name in enumerate(names)})
    table = pd.read_json(StringIO(written), orient="table")
    assert list(table.columns) == names
    for place, name in enumerate(names):
        finite = np.where(np.isfinite(values), values * (place + 1), np.nan)
        read = table[name].to_numpy(dtype=float, na_value=np.nan)  # in pandas' quick way, which is Prophet's
        np.testing.assert_allclose(read, finite, rtol=1e-13, atol=1e-15)


@settings(max_examples=100, deadline=None)
@given(st.lists(MICROSECONDS, max_size=5))
def test_dates_are_kept_to_the_microsecond(microseconds: list[int]) -> None:
    ds = np.array(microseconds, dtype=np.int64) * 1000
    table = pd.read_json(StringIO(table_text({"ds": Texts("datetime", date_texts(ds))})), orient="table")
    assert table["ds"].astype("M8[ns]").astype(np.int64).tolist() == ds.tolist()
    series = pd.read_json(StringIO(series_text("ds", date_texts(ds))), typ="series", orient="split")
    assert (series.name, series.index.tolist()) == ("ds", list(range(len(ds))))
    assert pd.to_datetime(series).astype("M8[ns]").astype(np.int64).tolist() == ds.tolist()


@pytest.mark.parametrize(
    ("kind", "values", "read"),
    [("boolean", ["true", "false"], [True, False]), ("integer", ["1", "-2"], [1, -2]), ("string", ['"a/b"'], ["a/b"])],
)
def test_other_columns_have_the_type_that_they_are_called_by(kind: str, values: list[str], read: list[object]) -> None:
    table = pd.read_json(StringIO(table_text({"it's 100 %": Texts(kind, values)})), orient="table")  # type: ignore[arg-type]
    assert table["it's 100 %"].tolist() == read


def test_a_table_without_rows_and_a_series_without_a_name_are_read_too() -> None:
    assert list(pd.read_json(StringIO(table_text({"a": number_texts(np.empty(0))})), orient="table").columns) == ["a"]
    nameless = pd.read_json(StringIO(series_text(None, ['"x"'])), typ="series", orient="split")
    assert (nameless.name, nameless.tolist()) == (None, ["x"])
