"""The catalog in one file: every champion that arrays can express, and by name those that they cannot.

The file is immutable and mapped, so that all workers of a host share one copy of it; a changed catalog is another file
renamed into its place. Rows stand in the order of their segments' UTF-8 bytes.

Arrays beside those of the ModelTable, for N rows: `versions` and `registered` (N,), see Mark; `text`, which holds of
one row after the other its segment, its ModelInfo in JSON and its ServedModel in JSON; `offsets` (3 N + 1,), where each
of these begins; the index: `hashes` (N,) ascending, and `rows` (N,), the row of each hash; `numbers` (N, NUMBERS),
those that forecasts begin from, so that no worker has to compute, and keep, its own.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from forecasting.array_file import open_arrays
from forecasting.errors import ModelError
from forecasting.grid import NUMBERS
from forecasting.table import ModelTable
from forecasting.table_file import LAYOUT, table_of
from registry.versions import Mark
from serving.schemas import ModelInfo, ServedModel

MAGIC = f"forecast catalog 2 of models {LAYOUT}\n".encode()  # the first number rises with any change of what follows
TEXTS = 3  # of a row: segment, ModelInfo, ServedModel
DTYPES = {"versions": "<i8", "registered": "<i8", "offsets": "<i8", "hashes": "<u8", "rows": "<i8"}


@dataclass(frozen=True)
class Other:
    """A champion that only the real Prophet can predict."""

    version: int
    registered: int
    served: ServedModel


@dataclass(frozen=True)
class Rejection:
    """A champion that cannot be read or used; the segment's last good version is served, where it had one.

    reason: for the operator, never for callers. at: the UTC time of the last try, ISO 8601.
    """

    version: int
    registered: int
    reason: str
    at: str

    def says(self, other: Rejection) -> bool:
        """Whether the other tells nothing new: it only may be of another time."""
        return (self.version, self.registered, self.reason) == (other.version, other.registered, other.reason)


@dataclass(frozen=True)
class Contents:
    """What a snapshot holds beside its rows; others and rejected by segment.

    written_at: UTC, ISO 8601. source: the registry that was read, without its password. complete: whether every
    champion was looked at, which a cold start with many takes a while for.
    """

    written_at: str
    source: str
    others: Mapping[str, Other] = field(default_factory=dict)
    rejected: Mapping[str, Rejection] = field(default_factory=dict)
    complete: bool = True


CONTENTS = TypeAdapter(Contents)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One catalog, open for reading: table has the model of every row, numbers what `grid.numbers_of` gives of it.

    Threads may share it.
    """

    table: ModelTable
    numbers: npt.NDArray[np.float64]
    contents: Contents
    arrays: Mapping[str, memoryview]

    def __len__(self) -> int:
        return len(self.table)

    def find(self, segment: str) -> int | None:
        """The segment's row, None where it has none; in a microsecond or two."""
        key = segment.encode(errors="surrogatepass")  # which no segment has, but a caller may send
        hashes, hashed = self.arrays["hashes"], hash_of(key)
        place = bisect_left(hashes, hashed)
        while place < len(hashes) and hashes[place] == hashed:
            row: int = self.arrays["rows"][place]
            if self._text(row, 0) == key:
                return row
            place += 1
        return None

    def after(self, segment: str | None) -> int:
        """The first row whose segment comes after this one, in the order of rows; None: the first of all."""
        if segment is None:
            return 0
        key = segment.encode()
        return bisect_left(range(len(self)), True, key=lambda row: self._text(row, 0) > key)

    def at_or_after(self, text: str) -> int:
        """The first row whose segment is this text or comes after it."""
        return bisect_left(range(len(self)), text.encode(errors="surrogatepass"), key=lambda row: self._text(row, 0))

    def version(self, segment: str) -> int | None:
        """The version that is served for a segment, by whatever means; None where it is none's business here."""
        row = self.find(segment)
        if row is not None:
            return int(self.arrays["versions"][row])
        other = self.contents.others.get(segment)
        return None if other is None else other.version

    def segment(self, row: int) -> str:
        """The segment of a row."""
        return self._text(row, 0).decode()

    def info_json(self, row: int) -> bytes:
        """A row's ModelInfo, as it stands in answers."""
        return self._text(row, 1)

    def info(self, row: int) -> ModelInfo:
        """Where a row's model comes from."""
        return ModelInfo.model_validate_json(self._text(row, 1))

    def served_json(self, row: int) -> bytes:
        """A row's ServedModel, as it stands in answers."""
        return self._text(row, 2)

    def served(self, row: int) -> ServedModel:
        """A row's champion as the registry describes it."""
        return ServedModel.model_validate_json(self._text(row, 2))

    def mark(self, row: int) -> Mark:
        """Which champion a row holds."""
        return Mark(self.segment(row), self.arrays["versions"][row], self.arrays["registered"][row])

    def marks(self) -> set[Mark]:
        """What the registry named as champions when the snapshot was written, served or not."""
        named = {mark.segment: mark for mark in map(self.mark, range(len(self)))}
        for found in (self.contents.others, self.contents.rejected):  # what was rejected hides what is served for it
            named |= {segment: Mark(segment, one.version, one.registered) for segment, one in found.items()}
        return set(named.values())

    def _text(self, row: int, number: int) -> bytes:
        offsets, place = self.arrays["offsets"], TEXTS * row + number
        return bytes(self.arrays["text"][offsets[place] : offsets[place + 1]])


def open_snapshot(path: Path, *, verify: bool = False) -> Snapshot:
    """Map a snapshot. verify: compare its checksum too, which reads all of it.

    Raises ModelError for a file that is damaged or of another version, OSError where there is none.
    """
    header, found = open_arrays(path, MAGIC, verify=verify)
    try:
        table = table_of(header, found, path)
        contents = CONTENTS.validate_python(header["contents"])
        arrays = {name: found[name].view(dtype) for name, dtype in DTYPES.items()} | {"text": found["text"]}
        numbers = found["numbers"].view("<f8").reshape(len(table), NUMBERS)
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path} is a damaged catalog: {error}") from error
    lengths = {name: len(values) for name, values in arrays.items()}
    n = len(table)
    if lengths != dict.fromkeys(DTYPES, n) | {"offsets": TEXTS * n + 1, "text": int(arrays["offsets"][-1])}:
        raise ModelError(f"{path} is a damaged catalog: {n} rows, and arrays of {lengths}")
    return Snapshot(table, numbers, contents, {name: values.data for name, values in arrays.items()})


def hash_of(key: bytes) -> int:
    """The index's hash of a segment: the same in every process, and hard to find equals for."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
