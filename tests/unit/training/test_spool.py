"""A source of any size is parted by segment: whole, in order, in bounded memory, and leaving nothing behind."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.columns import read_numbers
from forecasting.errors import HistoryError
from forecasting.history import check_history
from tests.unit.training.chunked import MEGABYTE, chunk_elsewhere
from training import sources, spool
from training.config import SourceConfig
from training.errors import SourceError
from training.spool import Chunk, Keyless, open_history

KEYS = ["a", "B", "007", "7", "é🍎", "NA", "a,b", "[a]", "", "  "]
VALUES = ["1", "2.5", "-3", "", "oops", "True"]
Rows = list[tuple[str, str, str]]


@contextmanager
def tiny_batches(batch_rows: int = 3) -> Iterator[None]:
    """Batches of few rows, each of which is set aside as a run of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "BATCH_ROWS", batch_rows)
        patch.setattr(spool, "RUN_BYTES", 1)
        patch.setattr(spool, "_PIECES", 2)
        yield


def csv(folder: Path, rows: Rows) -> SourceConfig:
    path = folder / "history.csv"
    pd.DataFrame(rows, columns=["segment", "ds", "y"]).to_csv(path, index=False)
    return SourceConfig(path=path)


def parquet(folder: Path, *tables: dict[str, Any]) -> SourceConfig:
    """A folder with a file a table."""
    for number, table in enumerate(tables):
        pq.write_table(pa.table(table), folder / f"{number}.parquet")
    return SourceConfig(path=folder)


def chunks_of(source: SourceConfig, size: int = 500, **asked: Any) -> list[Chunk]:
    with open_history(source, **asked) as history:
        return list(history.chunks(size))


def tables_of(source: SourceConfig, **asked: Any) -> dict[str, pd.DataFrame]:
    return {segment: table for chunk in chunks_of(source, **asked) for segment, table in chunk}


@settings(deadline=None, max_examples=150)
@given(
    rows=st.lists(st.tuples(st.sampled_from(KEYS), st.dates().map(str), st.sampled_from(VALUES)), min_size=1),
    batch_rows=st.integers(1, 7),
    size=st.integers(1, 4),
)
def test_the_chunks_together_are_the_table(rows: Rows, batch_rows: int, size: int) -> None:
    wanted = {key: [number for number, row in enumerate(rows) if row[0] == key] for key, _, _ in rows if key.strip()}
    keyless = [number for number, row in enumerate(rows) if not row[0].strip()]
    with (
        tempfile.TemporaryDirectory() as folder,
        tiny_batches(batch_rows),
        open_history(csv(Path(folder), rows)) as history,
    ):
        assert history.segments == len(wanted)
        assert history.keyless == Keyless(len(keyless), tuple(keyless[:5]))
        chunks = list(history.chunks(size))
    assert [len(chunk) for chunk in chunks[:-1]] == [size] * (len(chunks) - 1)
    assert [segment for chunk in chunks for segment in chunk.segments] == sorted(wanted)
    for segment, table in (pair for chunk in chunks for pair in chunk):
        assert list(table.index) == wanted[segment]
        assert list(table["ds"]) == [rows[number][1] for number in table.index]
        numbers = read_numbers(table["y"])
        texts = [rows[number][2] for number in table.index]
        assert [texts[bad] for bad in numbers.bad] == [text for text in texts if text in ("oops", "True")]
        floats = [float(text) if text not in ("", "oops", "True") else np.nan for text in texts]
        np.testing.assert_array_equal(numbers.values, floats)


def interleaved(segments: int, days: int) -> Rows:
    dates = [str(day.date()) for day in pd.date_range("2024-01-01", periods=days)]
    return [(f"s{segment:03}", date, str(segment)) for date in dates for segment in range(segments)]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_is_set_aside_has_no_name_and_is_closed_whatever_happens(tmp_path: Path) -> None:
    source, before = csv(tmp_path, interleaved(5, 4)), open_files()
    empty = tmp_path / "aside"
    empty.mkdir()
    with pytest.MonkeyPatch.context() as patch, tiny_batches():
        patch.setattr(tempfile, "tempdir", str(empty))
        with suppress(KeyError), open_history(source) as history:
            assert len(next(history.chunks(2)).frame) == 8
            assert open_files() == before + 1
            assert not list(empty.iterdir())
            raise KeyError
    assert open_files() == before


def test_only_a_large_source_needs_a_place_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = csv(tmp_path, interleaved(5, 4))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert len(tables_of(source)) == 5
    with tiny_batches(), pytest.raises(SourceError, match=r"cannot set rows aside in .*nowhere"):
        tables_of(source)


def test_the_same_chunks_come_again_whatever_the_order_of_the_source(tmp_path: Path) -> None:
    rows = interleaved(7, 5)
    with tiny_batches(), open_history(csv(tmp_path, rows)) as history:
        once, again = list(history.chunks(3)), list(history.chunks(3))
    for left, right in zip(once, again, strict=True):
        assert left.segments == right.segments
        pd.testing.assert_frame_equal(left.frame, right.frame)
    shuffled = csv(tmp_path, [rows[number] for number in np.random.default_rng(0).permutation(len(rows))])
    assert [chunk.segments for chunk in chunks_of(shuffled, 3)] == [chunk.segments for chunk in once]


def test_a_chunk_crosses_to_another_process_whole(tmp_path: Path) -> None:
    [chunk] = chunks_of(csv(tmp_path, interleaved(3, 4)))
    copy = pickle.loads(pickle.dumps(chunk))
    assert copy.segments == ("s000", "s001", "s002")
    assert list(copy.starts) == [0, 4, 8, 12]
    for (left, table), (right, twin) in zip(chunk, copy, strict=True):
        assert left == right
        pd.testing.assert_frame_equal(table, twin)


def test_a_word_in_a_late_batch_hurts_its_segment_alone_and_is_named_with_its_row(tmp_path: Path) -> None:
    rows = [("early", f"2024-01-0{day}", "1") for day in (1, 2, 3)] + interleaved(3, 4)
    rows[13] = (*rows[13][:2], "oops")
    with tiny_batches():
        tables = tables_of(csv(tmp_path, rows))
    assert tables["early"]["y"].dtype == "int64"  # though in the chunk's one table words stand below it
    for segment in ("s000", "s002"):
        history = check_history(tables[segment])
        assert list(history.frame["y"]) == [float(segment[1:])] * 4
    with pytest.raises(HistoryError) as caught:
        check_history(tables["s001"], row_numbers=tables["s001"].index.to_numpy())
    [fault] = caught.value.faults
    assert (fault.code, fault.rows, fault.values) == ("unparsable_number", (13,), ("oops",))


DAYS = [np.datetime64(f"2024-01-0{day}", "ns") for day in (1, 2)]


@pytest.mark.parametrize("wrap", [list, tiny_batches], ids=["in memory", "set aside"])
def test_files_of_a_folder_may_differ_in_types_and_in_bounds(tmp_path: Path, wrap: Callable[[], Any]) -> None:
    far = pa.array([19724, 2932896], pa.date32())  # 2024-01-02 and 9999-12-31, which nanoseconds cannot reach
    source = parquet(
        tmp_path,
        {"segment": [1, None], "ds": DAYS, "y": [1, 2]},
        {"segment": [1.0, 2.0], "ds": far, "y": [Decimal("2.50"), None], "cap": [9, 9]},
        {"segment": pa.array(["1", "2"]).dictionary_encode(), "ds": ["2024-01-03"] * 2, "y": ["3", "two"]},
        {"segment": [Decimal("1.00"), Decimal("2.50")], "ds": DAYS, "y": [True, False]},
    )
    with wrap() if wrap is tiny_batches else tempfile.TemporaryDirectory():
        tables = tables_of(source)
    assert {segment: list(table.index) for segment, table in tables.items()} == {
        "1": [0, 2, 4, 6],
        "2": [3, 5],
        "2.5": [7],
    }
    assert list(read_numbers(tables["1"]["y"]).values[:3]) == [1, 2.5, 3]
    assert list(read_numbers(tables["1"]["y"]).bad) == [3]
    assert list(pd.to_datetime(tables["1"]["ds"][:3]).astype(str)) == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert pd.isna(tables["1"]["cap"].iloc[0])
    assert tables["1"]["cap"].iloc[1] == 9


def test_only_what_is_asked_for_is_kept_and_rows_without_a_key_are_not_told(tmp_path: Path) -> None:
    rows = [(key, "2024-01-01", "1") for key in ["shop_1", "", "shop_2", "[x]", "x", "other"]]
    with tiny_batches(2), open_history(csv(tmp_path, rows), patterns=("shop_*", "[x]")) as history:
        assert history.segments == 4
        assert history.keyless == Keyless()
        assert [chunk.segments for chunk in history.chunks(3)] == [("[x]", "shop_1", "shop_2"), ("x",)]


def test_a_pattern_that_matches_no_segment_is_named_before_anything_is_chunked(tmp_path: Path) -> None:
    source = csv(tmp_path, interleaved(2, 2))
    with pytest.raises(SourceError, match=r"^no segment of the source matches 'shop_\*'$"):
        chunks_of(source, patterns=("s*", "shop_*"))


def test_a_source_without_rows_is_refused_and_one_without_keys_is_told_of(tmp_path: Path) -> None:
    pq.write_table(pa.table({"segment": pa.array([], pa.string()), "ds": [], "y": []}), tmp_path / "empty.parquet")
    with pytest.raises(SourceError, match=r"^the source has no rows$"):
        chunks_of(csv(tmp_path, []))
    with pytest.raises(SourceError, match=r"^the source has no rows$"):
        chunks_of(SourceConfig(path=tmp_path / "empty.parquet"))
    with tiny_batches(2), open_history(csv(tmp_path, [("", "2024-01-01", "1")] * 8)) as history:
        assert history.keyless == Keyless(8, (0, 1, 2, 3, 4))
        assert not list(history.chunks(3))


def test_a_fault_of_a_late_file_is_found_before_anything_is_chunked(tmp_path: Path) -> None:
    sound = {"segment": ["a"], "ds": DAYS[:1], "y": [1.0]}
    source = parquet(tmp_path, sound, {"segment": ["a"], "ds": DAYS[:1], "amount": [1.0]})
    with pytest.raises(SourceError, match=r"^1\.parquet lacks 'y'; its columns are 'segment', 'ds', 'amount'$"):
        chunks_of(source)


def large_folder(folder: Path, files: int, extras: int) -> tuple[SourceConfig, int, list[str]]:
    """Files of 25 days, each with every one of 20,000 segments; y is the number of the row."""
    names = pa.array([f"segment {number}" for number in range(20_000)])
    columns = [f"x{number}" for number in range(extras)]
    for file in range(files):
        rows = np.arange(500_000) + file * 500_000
        values = {"segment": names.take(pa.array(rows % 20_000)), "ds": rows // 20_000, "y": rows}
        small = pa.array(rows % 100, pa.float64())
        pq.write_table(pa.table({**values, **dict.fromkeys(columns, small)}), folder / f"{file:03}.parquet")
    return SourceConfig(path=folder), files * 500_000, columns


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux")
@pytest.mark.parametrize(("files", "extras"), [(8, 24), pytest.param(80, 8, marks=pytest.mark.slow)])
def test_a_folder_larger_than_the_memory_allowed_is_chunked_whole(tmp_path: Path, files: int, extras: int) -> None:
    source, rows, columns = large_folder(tmp_path, files, extras)
    told = chunk_elsewhere(source, rows, columns)
    assert (told["rows"], told["segments"]) == (rows, 20_000)
    held_whole = rows * 8 * (extras + 3)  # as numbers, without the names of the segments
    assert told["bytes"] < min(held_whole / 3, 400 * MEGABYTE), (told, held_whole)
