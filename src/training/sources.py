"""Read a history from a CSV or Parquet file or from a database, into one shape."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy
from pandas.errors import DatabaseError
from sqlalchemy.exc import SQLAlchemyError

from training.config import SourceConfig
from training.errors import SourceError

BOUNDS = ("cap", "floor")  # read when they are there; whether a fit needs them, its spec knows
_MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
_READABLE = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")


def read_history(source: SourceConfig, extra_columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read every row of a source.

    Returns the columns segment (text, missing where the source has none), ds and y as the source has them,
    extra_columns, and cap and floor if there; the index numbers the source's rows from 0, a header not counted.
    Raises SourceError when the source cannot be read or lacks columns.
    """
    table = _read_file(source.path, source) if source.path is not None else _read_query(source)
    names = {source.columns.segment: "segment", source.columns.ds: "ds", source.columns.y: "y"}
    _require([*names, *extra_columns], [str(column) for column in table.columns])
    bounds = [name for name in BOUNDS if name in table and name not in {*names, *extra_columns}]
    table = table[[*names, *extra_columns, *bounds]].rename(columns=names)
    table["segment"] = _as_keys(table["segment"])
    return table.reset_index(drop=True)


def _require(wanted: Sequence[str], there: Sequence[str]) -> None:
    """Refuse a source that lacks columns, or has one twice so that nobody knows which is meant."""
    problems = []
    for name in wanted:
        if there.count(name) > 1:
            problems.append(f"{name!r} (there {there.count(name)} times)")
        elif name not in there:
            close = difflib.get_close_matches(name, there, n=1)
            problems.append(f"{name!r} (did you mean {close[0]!r}?)" if close else repr(name))
    if problems:
        raise SourceError(f"the source lacks {', '.join(problems)}; its columns are {', '.join(map(repr, there))}")


def _as_keys(column: pd.Series[Any]) -> pd.Series[Any]:
    """Segments as text. A missing or blank key stays missing; whole numbers lose the point that a gap gave them."""
    if pd.api.types.is_float_dtype(column.dtype) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    keys = column.astype(object).where(column.notna(), None)
    texts = pd.Series([None if key is None else str(key) for key in keys], index=column.index, dtype="str")
    return texts.where(texts.str.strip() != "", None)


def _read_file(path: Path, source: SourceConfig) -> pd.DataFrame:
    name = path.name.lower()
    try:
        if name.endswith((".parquet", ".pq")) or path.is_dir():
            return pd.read_parquet(path)
        if name.endswith(_READABLE):
            return _read_text(path, source, separator="\t" if ".tsv" in name else ",")
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        raise SourceError(f"cannot read {path}: {error}") from error
    raise SourceError(f"cannot read {path}: its name must end in one of {', '.join(_READABLE)}")


def _read_text(path: Path, source: SourceConfig, separator: str) -> pd.DataFrame:
    """Read keys and dates as the text they are: "007" is not 7, and a key "NA" is not missing."""
    names = source.columns
    header = pd.read_csv(path, sep=separator, nrows=0, encoding="utf-8-sig").columns
    texts = {name for name in (names.segment, names.ds) if name in header}
    return pd.read_csv(
        path,
        sep=separator,
        encoding="utf-8-sig",
        dtype=dict.fromkeys(texts, "str"),
        keep_default_na=False,
        na_values={name: list(_MISSING) for name in header if name != names.segment},
        low_memory=False,  # a column has one type, whatever stands in its last rows
    )


def _read_query(source: SourceConfig) -> pd.DataFrame:
    assert source.url is not None
    assert source.query is not None
    try:
        engine = sqlalchemy.create_engine(_with_driver(source.url))
        try:
            with engine.connect() as connection:
                # Without parameters a percent sign in the query is just that.
                plain = connection.execution_options(no_parameters=True)
                return pd.read_sql_query(source.query, plain)
        finally:
            engine.dispose()
    except (SQLAlchemyError, DatabaseError, ValueError) as error:  # pandas wraps the first in the second
        wrapped = error.__cause__ if isinstance(error, DatabaseError) and error.__cause__ else error
        cause = getattr(wrapped, "orig", None) or wrapped
        raise SourceError(f"the query failed: {type(cause).__name__}: {cause}") from error
    except ImportError as error:
        raise SourceError(f"the database's driver is not installed: {error}") from error


def _with_driver(url: str) -> str:
    """Name the driver that the project installs where a PostgreSQL URL names none."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg{separator}{rest}" if scheme in {"postgres", "postgresql"} else url
