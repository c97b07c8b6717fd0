"""Part a source of any size by segment, in one pass and in bounded memory: an external merge sort.

Rows are gathered in runs of RUN_BYTES, each sorted by segment. A run is set aside in a temporary file once there is
more to read, so that a source of one run never touches the disk. The chunks are cut from all runs at once, each read
from front to back.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import IO

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.configuration import Configuration
from training.config import SourceConfig
from training.dataset import Dataset, Fingerprint
from training.errors import SourceError
from training.sources import read_batches

RUN_BYTES = 32 << 20
_PIECES = 256  # into which a run is cut; one of each run is in memory while chunks are cut
_SHOWN = 5  # rows without a key that a report names

Integers = npt.NDArray[np.int64]
Run = Iterable[pd.DataFrame]  # pieces, sorted by segment


@dataclass(frozen=True)
class Chunk:
    """Some segments with all their rows, cheap to send to another process: one table, not hundreds.

    frame: ds, y and the other columns, a segment's rows together and in the source's order, the index numbering them
    in the source. The rows of segments[i] are frame.iloc[starts[i]:starts[i + 1]]. champions: how the champions of
    some of the segments came about, which are backtested beside what is trained.
    """

    segments: tuple[str, ...]
    starts: Integers
    frame: pd.DataFrame
    champions: Mapping[str, Configuration] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.segments)

    def apart(self) -> Iterator[Chunk]:
        """Each segment as a chunk of its own."""
        for segment, start, stop in zip(self.segments, self.starts, self.starts[1:], strict=False):
            champions = {segment: self.champions[segment]} if segment in self.champions else {}
            yield Chunk((segment,), np.array([0, stop - start]), self.frame.iloc[start:stop], champions)

    def __iter__(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Each segment with its table, whose columns have the types of its own values: no neighbour's word hurts."""
        for segment, start, stop in zip(self.segments, self.starts, self.starts[1:], strict=False):
            yield segment, self.frame.iloc[start:stop].infer_objects()


@dataclass(frozen=True)
class Keyless:
    """Rows without a segment: how many, and the numbers of the first few."""

    count: int = 0
    rows: tuple[int, ...] = ()

    def with_those_of(self, batch: pd.DataFrame) -> Keyless:
        """These rows and those of a batch that follows."""
        more = batch.index[batch["segment"].isna()]
        return Keyless(self.count + len(more), (*self.rows, *map(int, more[:_SHOWN]))[:_SHOWN])


class History:
    """A source that was read to its end. segments: how many there are, of those asked for; keyless: rows without.

    dataset: all that was read. lacking: segments that were listed, and have no row; sorted.
    """

    def __init__(
        self,
        names: Sequence[str],
        runs: Sequence[Run],
        keyless: Keyless,
        dataset: Dataset,
        lacking: Sequence[str] = (),
    ) -> None:
        """names: the segments by the number that the runs' column segment gives them."""
        self._names, self._ranks = _in_order(names)
        self._runs = runs
        self.segments = len(names)
        self.keyless = keyless
        self.dataset = dataset
        self.lacking = lacking

    def chunks(self, segments_per_chunk: int) -> Iterator[Chunk]:
        """Every row asked for, once, in chunks of whole segments sorted by name, full but for the last.

        May be called again, for the same chunks. Raises SourceError when what was set aside cannot be read.
        """
        cursors = [_Cursor(run, self._ranks) for run in self._runs]
        for first in range(0, self.segments, segments_per_chunk):
            names = self._names[first : first + segments_per_chunk]
            yield _cut(names, first, cursors)


@contextmanager
def open_history(
    source: SourceConfig,
    extra_columns: Sequence[str] = (),
    patterns: Sequence[str] | None = None,
    left_out: Collection[str] = frozenset(),
    listed: Collection[str] | None = None,
) -> Iterator[History]:
    """Read a source and part it by segment; what had to be set aside on disk is gone after the with block.

    patterns: the segments asked for, by name or glob; None: all, and the rows without one are counted. left_out:
    segments whose rows are passed over, asked for or not. listed: the only ones that are meant; None: all.
    Raises SourceError when the source cannot be read, has no rows, or has no segment that a pattern matches.
    """
    asked, keyless, read = _Asked(patterns, left_out, listed), Keyless(), Fingerprint()
    with _unnamed_file() as file, closing(read_batches(source, extra_columns)) as batches:
        runs = _Runs(asked, file)
        for batch in batches:
            read.add(batch)
            runs.add(asked.only(batch))
            if patterns is None:
                keyless = keyless.with_those_of(batch)
        asked.check()
        if patterns is None and not read.dataset.rows:
            raise SourceError("the source has no rows")
        yield History(asked.names, runs.finish(), keyless, read.dataset, asked.lacking)


def _unnamed_file() -> IO[bytes]:
    """A file that is made when first written to, that no folder names and that goes with the process, killed or not."""
    return tempfile.SpooledTemporaryFile(max_size=1)


class _Asked:
    """The segments asked for, numbered in the order in which they appear."""

    def __init__(
        self, patterns: Sequence[str] | None, left_out: Collection[str], listed: Collection[str] | None
    ) -> None:
        self.names: list[str] = []
        self._patterns = patterns
        self._left_out = left_out
        self._listed = listed
        self._unmatched = list(patterns or ())
        self._numbers: dict[str, int] = {}  # -1 for what is not asked for

    def only(self, batch: pd.DataFrame) -> pd.DataFrame:
        """The rows asked for, their segment as a number."""
        keys = batch["segment"].array
        numbers = np.array([*map(self._number, keys.categories), -1], dtype=np.int32)
        numbers = numbers[keys.codes]  # what is missing has the code -1, which picks the last
        rows: pd.DataFrame = batch.assign(segment=numbers)[numbers >= 0]
        return rows

    def check(self) -> None:
        """Raise SourceError for the first pattern that nothing has matched."""
        if self._unmatched:
            raise SourceError(f"no segment of the source matches {self._unmatched[0]!r}")

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            asked = (self._patterns is None or self._matches(name)) and self._is_meant(name)
            self._numbers[name] = len(self.names) if asked else -1
            self.names += [name] if asked else []
        return self._numbers[name]

    @property
    def lacking(self) -> list[str]:
        """What is listed, of what was not left out, and was not met."""
        return sorted({*(self._listed or ())} - self._numbers.keys() - {*self._left_out})

    def _is_meant(self, name: str) -> bool:
        return name not in self._left_out and (self._listed is None or name in self._listed)

    def _matches(self, name: str) -> bool:
        matching = {pattern for pattern in self._patterns or () if name == pattern or fnmatchcase(name, pattern)}
        self._unmatched = [pattern for pattern in self._unmatched if pattern not in matching]
        return bool(matching)


class _Runs:
    """Gathers batches into runs, all of which but the last go to a file."""

    def __init__(self, asked: _Asked, file: IO[bytes]) -> None:
        self._asked = asked
        self._file = file
        self._runs: list[Run] = []
        self._batches: list[pd.DataFrame] = []
        self._bytes = 0

    def add(self, batch: pd.DataFrame) -> None:
        """Take a batch in, after setting the run before it aside when that is full. Raises SourceError."""
        if self._bytes >= RUN_BYTES:
            self._set_aside()
        if len(batch):
            self._batches.append(batch)
            self._bytes += int(batch.memory_usage().sum())

    def finish(self) -> list[Run]:
        """All runs, in the order of the source."""
        return [*self._runs, list(self._sorted())] if self._batches else self._runs

    def _set_aside(self) -> None:
        places = []
        try:
            for piece in self._sorted():
                places.append(self._file.tell())
                pickle.dump(piece, self._file, pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            raise SourceError(f"cannot set rows aside in {tempfile.gettempdir()}: {error}") from error
        self._runs.append(_Stored(self._file, places))

    def _sorted(self) -> Iterator[pd.DataFrame]:
        """Empty what is gathered: sorted by the segments' names, and within them as in the source, in pieces."""
        table = pd.concat(self._batches)
        self._batches, self._bytes = [], 0
        _, ranks = _in_order(self._asked.names)
        order = np.argsort(ranks[table["segment"].to_numpy()], kind="stable")
        for rows in np.array_split(order, min(_PIECES, len(order))):
            yield table.iloc[rows]


@dataclass(frozen=True)
class _Stored:
    """Pieces in a file. Pickled, because a column may hold numbers and words; nobody else can reach the file."""

    file: IO[bytes]
    places: Sequence[int]

    def __iter__(self) -> Iterator[pd.DataFrame]:
        for place in self.places:
            self.file.seek(place)
            yield pickle.load(self.file)


class _Cursor:
    """Reads a run from front to back, as far as it is asked."""

    def __init__(self, run: Run, ranks: Integers) -> None:
        """ranks: the place of each segment among the sorted names."""
        self._pieces = (piece.assign(segment=ranks[piece["segment"].to_numpy()]) for piece in run)
        self._rest = next(self._pieces, None)

    def up_to(self, rank: int) -> Iterator[pd.DataFrame]:
        """The rows, not yet read, of the segments before that rank."""
        while self._rest is not None:
            cut = int(np.searchsorted(self._rest["segment"].to_numpy(), rank))
            yield self._rest.iloc[:cut]
            if cut < len(self._rest):
                self._rest = self._rest.iloc[cut:]
                return
            self._rest = next(self._pieces, None)


def _cut(names: tuple[str, ...], first: int, cursors: Sequence[_Cursor]) -> Chunk:
    """The next chunk. names: its segments; first: the rank of the first of them."""
    last = first + len(names)
    frame = pd.concat([part for cursor in cursors for part in cursor.up_to(last)])
    ranks = frame.pop("segment").to_numpy()
    order = np.argsort(ranks, kind="stable")  # runs follow each other as in the source
    return Chunk(names, np.searchsorted(ranks[order], np.arange(first, last + 1)), frame.iloc[order])


def _in_order(names: Sequence[str]) -> tuple[tuple[str, ...], Integers]:
    """The names, sorted, and the place there of each."""
    order = sorted(range(len(names)), key=names.__getitem__)
    ranks = np.empty(len(names), dtype=np.int64)
    ranks[order] = np.arange(len(names))
    return tuple(names[number] for number in order), ranks
