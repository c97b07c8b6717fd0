"""What a job was trained on: how many rows of which columns, and a digest of what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

_WORDS = 1 << 64


@dataclass(frozen=True)
class Dataset:
    """A table. rows: all of them, asked for or not. digest: 16 hex digits, the same for the same rows in any order,
    read in the same types. columns: by name, the type of each: number, text, date or mixed.
    """

    rows: int = 0
    digest: str = f"{0:016x}"
    columns: Mapping[str, str] = field(default_factory=dict)


class Fingerprint:
    """Takes a table in, batch by batch."""

    def __init__(self) -> None:
        self._rows = 0
        self._sum = 0
        self._kinds: dict[str, str] = {}

    def add(self, batch: pd.DataFrame) -> None:
        """Take a batch in. Its rows count with a sum of hashes, because a database may give them in any order."""
        self._rows += len(batch)
        self._sum = (self._sum + _hashed(batch)) % _WORDS
        for name, column in batch.items():
            kind = _kind(column)
            if self._kinds.setdefault(str(name), kind) != kind:
                self._kinds[str(name)] = "mixed"

    @property
    def dataset(self) -> Dataset:
        """What was taken in."""
        return Dataset(self._rows, f"{self._sum:016x}", dict(self._kinds))


def _kind(column: pd.Series[Any]) -> str:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "text"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "date"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "number"
    return "text" if pd.api.types.infer_dtype(column, skipna=True) == "string" else "mixed"


def _hashed(batch: pd.DataFrame) -> int:
    """The sum of the rows' hashes."""
    try:
        hashes = pd.util.hash_pandas_object(batch, index=False, categorize=False)
    except (TypeError, ValueError):  # lists in a cell, half a character: what check_history will not like, either
        hashes = pd.util.hash_pandas_object(batch.astype(object).map(ascii), index=False, categorize=False)
    return int(hashes.to_numpy().sum(dtype=np.uint64))
