"""A table is known by what its rows say, not by their order or by how they were read."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from training.dataset import Dataset, Fingerprint


def told(*batches: pd.DataFrame) -> Dataset:
    fingerprint = Fingerprint()
    for batch in batches:
        fingerprint.add(batch)
    return fingerprint.dataset


def table(rows: int = 1000) -> pd.DataFrame:
    number = np.arange(rows)
    return pd.DataFrame(
        {
            "segment": pd.Categorical([f"shop {each % 7}" for each in number]),
            "ds": pd.date_range("2024-01-01", periods=rows),
            "y": number / 3,
        }
    )


def test_order_and_batches_change_nothing() -> None:
    whole, shuffled = table(), table().sample(frac=1, random_state=1)
    assert told(whole) == told(shuffled) == told(shuffled[:400], shuffled[400:410], shuffled[410:])
    assert told(whole).rows == 1000
    assert told(whole).columns == {"segment": "text", "ds": "date", "y": "number"}


@pytest.mark.parametrize(("column", "value"), [("segment", "shop 6"), ("ds", pd.Timestamp("2025-01-01")), ("y", -1.0)])
def test_one_other_cell_is_another_table(column: str, value: object) -> None:
    changed = table()
    changed.loc[changed.index[500], column] = value
    assert told(changed).digest != told(table()).digest
    assert told(table()[:-1]).digest != told(table()).digest


def test_a_row_that_is_there_twice_counts_twice() -> None:
    assert len({told(*[table(5)] * times).digest for times in (1, 2, 3)}) == 3


def test_any_cell_is_taken() -> None:
    """Whether it is any good is for later checks to say."""
    cells = [None, 1, "word", True, Decimal("1.5"), datetime.date(9999, 1, 1), [1], {}, "\ud800", float("nan")]
    odd = pd.DataFrame({"segment": pd.Categorical(["a"] * len(cells)), "y": pd.Series(cells, dtype=object)})
    found = told(odd, odd[:0], table(3)[["segment", "y"]])
    assert (found.rows, found.columns) == (13, {"segment": "text", "y": "mixed"})
    assert found == told(table(3)[["segment", "y"]], odd.iloc[::-1])


def test_of_nothing_there_is_nothing() -> None:
    assert told() == Dataset()
