"""Make a table of models out of others without copying what takes most of the room, their arenas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from forecasting.features import FeatureTable
from forecasting.table import RECORD, ModelTable, Records
from forecasting.trend import Floats

Array = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LooseTable:
    """A table whose arena is the pieces one after the other: what a file can be written from without a copy of it."""

    features: tuple[FeatureTable, ...]
    texts: tuple[str, ...]
    records: Records
    pieces: tuple[Floats, ...]

    @classmethod
    def of(cls, table: ModelTable) -> LooseTable:
        """The same table, its arena in one piece."""
        return cls(table.features, table.texts, table.records, (table.arena,))

    def joined(self) -> ModelTable:
        """The table, its arena copied into one."""
        arena = np.concatenate(self.pieces) if self.pieces else np.empty(0)
        return ModelTable(self.features, self.texts, self.records, arena)


def pick(tables: Sequence[ModelTable], which: Integers, positions: Integers) -> LooseTable:
    """A table of models out of several: the n-th is the one at positions[n] of tables[which[n]].

    What models share is kept once, and only what a chosen one needs. The pieces are views, as few as can be.
    """
    records = np.zeros(len(which), dtype=RECORD)
    features: dict[FeatureTable, int] = {}
    texts: dict[str, int] = {}
    for number, table in enumerate(tables):
        own = which == number
        chosen = table.records[positions[own]]
        chosen["features"] = _renumbered(chosen["features"], table.features, features)
        for name in ("freq", "solver"):
            chosen[name] = _renumbered(chosen[name], table.texts, texts)
        records[own] = chosen
    starts, lengths = records["block"].copy(), block_lengths(records)
    records["block"] = np.cumsum(lengths) - lengths
    loose = pieces([table.arena for table in tables], which, starts, lengths)
    return LooseTable(tuple(features), tuple(texts), records, tuple(loose))


def pieces(sources: Sequence[Array], which: Integers, starts: Integers, lengths: Integers) -> list[Array]:
    """Views of the sources that one after the other make the n-th run of lengths[n] from starts[n] of which[n]."""
    if not len(which):
        return []
    ends = starts + lengths
    cuts = (np.flatnonzero((np.diff(which) != 0) | (starts[1:] != ends[:-1])) + 1).tolist()
    return [
        sources[which[first]][starts[first] : ends[last - 1]]
        for first, last in zip([0, *cuts], [*cuts, len(which)], strict=True)
    ]


def block_lengths(records: Records) -> Integers:
    """How many floats of the arena each record's block has; the head of this file says of what."""
    d, s, k, r, h = (
        records[name].astype(np.int64)
        for name in ("n_draws", "n_changepoints", "n_columns", "n_regressors", "n_calibrated")
    )
    lengths: Integers = k + 2 * r + s + 2 * (s + 1) + 2 * h + d * (3 + s + np.where(d > 1, k, 0))
    return lengths


def _renumbered(places: Integers, shared: Sequence[Any], numbers: dict[Any, int]) -> Integers:
    """Places in one table's features or texts as places in those of another, which `numbers` collects."""
    new = {place: numbers.setdefault(shared[place], len(numbers)) for place in np.unique(places).tolist() if place >= 0}
    among = np.array([new.get(place, -1) for place in range(-1, len(shared))])
    renumbered: Integers = among[places + 1]
    return renumbered
