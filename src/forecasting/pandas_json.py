"""Tables and series as JSON texts that pandas.read_json takes for its own (orient "table" and "split").

pandas writes a table in milliseconds, most of which go into laying out the frame; here every value is already a text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_VERSION = "1.4.0"  # of the table schema, as pandas names it


class Texts(NamedTuple):
    """A column: the type that the table schema calls it by, and each value as JSON."""

    kind: Literal["datetime", "number", "integer", "boolean", "string"]
    values: list[str]


def table_text(columns: Mapping[str, Texts]) -> str:
    """A table without an index; columns by name, all of one length."""
    fields = [{"name": name, "type": column.kind} for name, column in columns.items()]
    schema = json.dumps({"fields": fields, "pandas_version": _VERSION}, separators=(",", ":"))
    pattern = ",".join(json.dumps(name).replace("%", "%%") + ":%s" for name in columns)
    rows = map(f"{{{pattern}}}".__mod__, zip(*(column.values for column in columns.values()), strict=True))
    return f'{{"schema":{schema},"data":[{",".join(rows)}]}}'


def series_text(name: str | None, values: Iterable[str]) -> str:
    """A series with the index 0, 1, ...; each value as JSON."""
    texts = list(values)
    index = ",".join(map(str, range(len(texts))))
    return f'{{"name":{json.dumps(name)},"index":[{index}],"data":[{",".join(texts)}]}}'


def date_texts(ds: Integers) -> list[str]:
    """Dates in nanoseconds, to the microsecond, which is what Prophet keeps of them."""
    texts: list[str] = np.datetime_as_string((ds // 1000).view("M8[us]")).tolist()
    return [f'"{text}"' for text in texts]


def number_texts(values: Floats) -> Texts:
    """Numbers to their last digit; null where they are not finite."""
    if np.isfinite(values).all():
        return Texts("number", list(map(repr, values.tolist())))
    return Texts("number", [repr(value) if np.isfinite(value) else "null" for value in values.tolist()])
