"""Write a snapshot: what is new in it from memory, all the rest straight from the snapshot before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from forecasting.array_file import Array, save_arrays
from forecasting.grid import numbers_of
from forecasting.table import ModelTable
from forecasting.table_file import table_parts
from forecasting.table_pick import pick, pieces
from registry.versions import Mark
from serving.schemas import ModelInfo, ServedModel
from serving.snapshot import CONTENTS, DTYPES, MAGIC, TEXTS, Contents, Snapshot, hash_of

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """What a snapshot keeps of a champion beside its model."""

    mark: Mark
    info: ModelInfo
    served: ServedModel


@dataclass(frozen=True, eq=False)
class Part:
    """Champions of distinct segments, in any order: the n-th row goes with the n-th model."""

    rows: Sequence[Row]
    models: ModelTable


def write_snapshot(
    path: Path,
    contents: Contents,
    parts: Sequence[Part],
    *,
    previous: Snapshot | None = None,
    dropped: Collection[str] = (),
) -> None:
    """Write the rows of all parts, and those rows of `previous` whose segments have none there.

    dropped: segments of `previous` that have no row any more. No segment is in two parts. The file is written beside
    path, forced to the disk and renamed into place. Raises OSError, and leaves what was there as it was.
    """
    sources = [*([] if previous is None else [_Columns.of_snapshot(previous)]), *map(_Columns.of_part, parts)]
    which, positions = _fresh(parts)
    if previous is not None:
        segments = [parts[part].rows[row].mark.segment for part, row in zip(which, positions, strict=True)]
        which, positions = _merged(previous, segments, dropped, which + 1, positions)
    loose = pick([source.models for source in sources], which, positions)
    header, arrays = table_parts(loose)
    header["contents"] = CONTENTS.dump_python(contents, mode="json")
    numbers = {"numbers": [numbers_of(loose.records)]}
    save_arrays(path, MAGIC, header, {**arrays, **numbers, **_picked(sources, which, positions)})


@dataclass(frozen=True, eq=False)
class _Columns:
    """The arrays of one source, its hashes by row."""

    models: ModelTable
    versions: Integers
    registered: Integers
    hashes: npt.NDArray[np.uint64]
    offsets: Integers
    text: npt.NDArray[np.uint8]

    @classmethod
    def of_part(cls, part: Part) -> _Columns:
        keys = [row.mark.segment.encode() for row in part.rows]
        texts = list(
            chain.from_iterable(
                (key, row.info.model_dump_json().encode(), row.served.model_dump_json().encode())
                for key, row in zip(keys, part.rows, strict=True)
            )
        )
        return cls(
            part.models,
            np.array([row.mark.version for row in part.rows], dtype=np.int64),
            np.array([row.mark.registered for row in part.rows], dtype=np.int64),
            np.array([hash_of(key) for key in keys], dtype=np.uint64),
            np.array([0, *accumulate(map(len, texts))], dtype=np.int64),
            np.frombuffer(b"".join(texts), dtype=np.uint8),
        )

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot) -> _Columns:
        found = {name: np.asarray(values) for name, values in snapshot.arrays.items()}
        hashes = np.empty_like(found["hashes"])
        hashes[found["rows"]] = found["hashes"]
        return cls(snapshot.table, found["versions"], found["registered"], hashes, found["offsets"], found["text"])

    @property
    def lengths(self) -> Integers:
        """(N, TEXTS): the bytes of each row's texts."""
        return np.diff(self.offsets).reshape(-1, TEXTS)


def _fresh(parts: Sequence[Part]) -> tuple[Integers, Integers]:
    """Which part, and which of its rows, in the order of segments."""
    found = sorted(
        (row.mark.segment.encode(), part, place)
        for part, rows in enumerate(part.rows for part in parts)
        for place, row in enumerate(rows)
    )
    return (
        np.array([part for _, part, _ in found], dtype=np.int64),
        np.array([place for _, _, place in found], dtype=np.int64),
    )


def _merged(
    previous: Snapshot, segments: Sequence[str], dropped: Collection[str], which: Integers, positions: Integers
) -> tuple[Integers, Integers]:
    """Put rows of other sources among the previous ones, which are source 0; segments: theirs, ascending."""
    stays = np.ones(len(previous), dtype=np.bool_)
    for segment in chain(segments, dropped):
        row = previous.find(segment)
        if row is not None:
            stays[row] = False
    kept = np.flatnonzero(stays)
    before = np.searchsorted(kept, [previous.after(segment) for segment in segments])
    return (
        np.insert(np.zeros(len(kept), dtype=np.int64), before, which),
        np.insert(kept, before, positions),
    )


def _picked(sources: Sequence[_Columns], which: Integers, positions: Integers) -> dict[str, Sequence[Array]]:
    """The arrays of a snapshot that its table does not hold."""
    starts, lengths = np.empty(len(which), dtype=np.int64), np.empty((len(which), TEXTS), dtype=np.int64)
    columns = {name: np.empty(len(which), dtype=DTYPES[name]) for name in ("versions", "registered", "hashes")}
    for number, source in enumerate(sources):
        own = which == number
        chosen = positions[own]
        starts[own], lengths[own] = source.offsets[:-1:TEXTS][chosen], source.lengths[chosen]
        for name, column in columns.items():
            column[own] = getattr(source, name)[chosen]
    rows = np.argsort(columns["hashes"], kind="stable").astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths.ravel())]).astype(np.int64)
    text = pieces([source.text for source in sources], which, starts, lengths.sum(axis=1))
    return {
        "versions": [columns["versions"]],
        "registered": [columns["registered"]],
        "offsets": [offsets],
        "hashes": [columns["hashes"][rows]],
        "rows": [rows],
        "text": text,
    }
