"""Read a history from CSV or Parquet files or from a database, batch by batch, into one shape."""

from __future__ import annotations

import difflib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy
from pandas.errors import OutOfBoundsDatetime
from sqlalchemy.exc import SQLAlchemyError

from registry.store import with_driver
from training.config import SourceConfig
from training.errors import SourceError

BOUNDS = ("cap", "floor")  # read when they are there; whether a fit needs them, its spec knows
BATCH_ROWS = 1 << 15
_READ_BYTES = 1 << 16  # of a Parquet column at a time
_MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
_READABLE = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")
_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"  # how Hive, Spark and Arrow name the folder of the rows without a key


def read_batches(source: SourceConfig, extra_columns: Sequence[str] = ()) -> Generator[pd.DataFrame, None, None]:
    """Read a source in batches of at most BATCH_ROWS rows, never more of it than that in memory.

    Yields the columns segment (categorical text, missing where the source has none), ds and y as the source has them,
    extra_columns, and cap and floor if there; the index numbers the source's rows from 0, a header not counted. A
    column may be of one type in one batch and of another in the next: numbers here, text where a word stands there.
    Raises SourceError, at any batch, when the source cannot be read or lacks columns.
    """
    names = {source.columns.segment: "segment", source.columns.ds: "ds", source.columns.y: "y"}
    taken = sorted(set(names.values()).intersection(extra_columns))
    if taken:
        raise SourceError(f"a model's own column cannot be called {', '.join(map(repr, taken))}")
    rows = 0
    for table in _read(source, [*names, *extra_columns]):
        columns = {names.get(str(name), str(name)): column for name, column in table.items()}
        keys = _as_keys(columns["segment"])
        others = {name: _mixable(column) for name, column in columns.items() if name != "segment"}
        frame = pd.DataFrame({"segment": keys, **others})
        frame.index = pd.RangeIndex(rows, rows + len(frame))
        rows += len(frame)
        yield frame


def _read(source: SourceConfig, wanted: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The wanted columns, and bounds where they are there, by the names that they have in the source."""
    path = source.path
    if path is None:
        return _read_query(source, wanted)
    name = path.name.lower()
    if path.is_dir() or name.endswith((".parquet", ".pq")):
        return _read_parquet(path, source.columns.segment, wanted)
    if name.endswith(_READABLE):
        return _read_text(path, source, wanted, separator="\t" if ".tsv" in name else ",")
    raise SourceError(f"cannot read {path}: its name must end in one of {', '.join(_READABLE)}")


def _choose(wanted: Sequence[str], there: Sequence[str], place: str = "the source") -> list[str]:
    """The wanted columns and the bounds of a source, which may not lack one, nor have one twice: which is meant?"""
    problems = []
    for name in wanted:
        if there.count(name) > 1:
            problems.append(f"{name!r} (there {there.count(name)} times)")
        elif name not in there:
            close = difflib.get_close_matches(name, there, n=1)
            problems.append(f"{name!r} (did you mean {close[0]!r}?)" if close else repr(name))
    if problems:
        raise SourceError(f"{place} lacks {', '.join(problems)}; its columns are {', '.join(map(repr, there))}")
    return [*wanted, *(name for name in BOUNDS if name in there and name not in wanted)]


def _as_keys(column: pd.Series[Any]) -> pd.Categorical[str]:
    """Segments as text; a missing or blank key is missing."""
    if column.dtype == object:  # as text at once, for pandas takes True and 1 for the same, and no list at all
        column = column.map(_key_text, na_action="ignore")
    codes, found = pd.factorize(column)
    texts = [_key_text(key) for key in found]
    positions, names = pd.factorize(np.array([text if text.strip() else None for text in texts], dtype=object))
    codes = np.append(positions, -1)[codes]  # what is missing has the code -1, which picks the last
    keys: pd.Categorical[str] = pd.Categorical.from_codes(codes, pd.Index(names, dtype=object))
    return keys


def _key_text(key: Any) -> str:
    """A key as text: whole numbers lose the point that a gap in their column, or their type, gave them."""
    if isinstance(key, Decimal):
        return f"{key.normalize():f}"
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


def _mixable(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column in a type that survives being put below another: True must not become 1, nor may a date overflow."""
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "date":
        column = pd.to_datetime(column)  # 8 bytes each, not 40
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        with suppress(OutOfBoundsDatetime):
            return pd.Series(column.dt.as_unit("ns"))
        return column.astype(object)
    return column.astype(object) if column.dtype == bool else column


def _read_text(path: Path, source: SourceConfig, wanted: Sequence[str], separator: str) -> Iterator[pd.DataFrame]:
    """Read keys and dates as the text they are: "007" is not 7, and a key "NA" is not missing."""
    key, ds = source.columns.segment, source.columns.ds
    try:
        header = pd.read_csv(path, sep=separator, nrows=0, encoding="utf-8-sig").columns
        chosen = _choose(wanted, list(header))
        with pd.read_csv(  # all columns, for pandas does not count the fields of a line when it is to read some only
            path,
            sep=separator,
            encoding="utf-8-sig",
            dtype={key: "str", ds: "str"},
            keep_default_na=False,
            na_values={name: list(_MISSING) for name in header if name != key},
            low_memory=False,  # a column has one type in a batch, whatever stands in its last rows
            chunksize=BATCH_ROWS,
        ) as batches:
            for table in batches:
                if not isinstance(table.index, pd.RangeIndex):  # pandas took the first fields for the rows' names
                    raise ValueError(f"its lines have more fields than its header, which has {len(header)}")
                yield table[chosen]
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise SourceError(f"cannot read {path}: {error}") from error


def _read_parquet(path: Path, key: str, wanted: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Read a file, or a folder's files in the order of their paths."""
    if not path.is_dir():
        yield from _read_parquet_file(path, {}, key, wanted, "the source")
        return
    inside = [file.relative_to(path) for file in sorted(path.rglob("*")) if file.is_file()]
    files = [file for file in inside if not any(part.startswith((".", "_")) for part in file.parts)]
    if not files:
        raise SourceError(f"cannot read {path}: there is no Parquet file in this folder")
    for file in files:
        yield from _read_parquet_file(path / file, _partition_of(file), key, wanted, str(file))


def _read_parquet_file(
    path: Path, partition: Mapping[str, str | None], key: str, wanted: Sequence[str], place: str
) -> Iterator[pd.DataFrame]:
    """Cut batches from a file's pages, by its own schema: pyarrow.dataset would hold whole row groups, and one schema.

    partition: what the file's folders say of all its rows.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES) as file:
            schema = file.schema_arrow
            outside = {name: value for name, value in partition.items() if name not in schema.names}
            chosen = _choose(wanted, [*schema.names, *outside], place)
            inside = [name for name in chosen if name not in outside]
            plain = pa.schema([(name, _plain(schema.field(name).type, name == key)) for name in inside])
            for batch in file.iter_batches(BATCH_ROWS, columns=inside, use_threads=False):
                table = pa.Table.from_batches([batch]).select(inside).cast(plain)
                yield table.to_pandas(date_as_object=False, use_threads=False).assign(**outside)[chosen]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"cannot read {path}: {error}") from error


def _partition_of(file: Path) -> dict[str, str | None]:
    """The columns that a file's folders hold, as in shop=7/year=2024/part-0.parquet; values are text: 007 is not 7."""
    pairs = [folder.split("=", 1) for folder in file.parts[:-1] if "=" in folder]
    return {unquote(name): None if value == _NO_PARTITION else unquote(value) for name, value in pairs}


def _plain(kind: pa.DataType, is_key: bool) -> pa.DataType:
    """The type to read a Parquet column as, so that pandas makes one array of it and no gap rounds a key."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type, is_key)
    if is_key:
        return pa.string() if pa.types.is_integer(kind) or pa.types.is_date(kind) else kind
    return pa.float64() if pa.types.is_decimal(kind) else kind


def _read_query(source: SourceConfig, wanted: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Read a query's rows as they come, from a cursor of the database's where it has such a thing."""
    assert source.url is not None
    assert source.query is not None
    try:
        engine = sqlalchemy.create_engine(with_driver(source.url))
        try:
            with engine.connect() as connection:
                # Without parameters a percent sign in the query is just that.
                streaming = connection.execution_options(
                    no_parameters=True, stream_results=True, max_row_buffer=BATCH_ROWS
                )
                with streaming.exec_driver_sql(source.query) as result:
                    columns = list(result.keys())
                    chosen = _choose(wanted, columns)
                    for rows in result.partitions(BATCH_ROWS):
                        yield _as_table(rows, columns, source.columns.segment)[chosen]
        finally:
            engine.dispose()
    except (SQLAlchemyError, ValueError) as error:
        cause = getattr(error, "orig", None) or error
        raise SourceError(f"the query failed: {type(cause).__name__}: {cause}") from error
    except ImportError as error:
        raise SourceError(f"the database's driver is not installed: {error}") from error


def _as_table(rows: Sequence[Any], columns: list[str], key: str) -> pd.DataFrame:
    """Rows of a database as a table. Keys are left as they came: as floats, large ones would fall together."""
    table = pd.DataFrame.from_records([tuple(row) for row in rows], columns=columns, coerce_float=True)
    at = columns.index(key)
    return table.assign(**{key: pd.Series([row[at] for row in rows], dtype=object)})
