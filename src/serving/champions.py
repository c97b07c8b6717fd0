"""The champions of one snapshot as batches need them: which are of one kind, and where their histories end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from forecasting.grid import OTHER, PlainModels
from serving.listing import Listing
from serving.schemas import ForecastRequest
from serving.snapshot import Snapshot

_ORDINARY = {"model_id", "periods", "interval_width", "format"}  # what a request may say and be forecast in a batch
_SPECIAL = {name: getattr(ForecastRequest(), name) for name in ForecastRequest.model_fields.keys() - _ORDINARY}


@dataclass(frozen=True, eq=False)
class Champions:
    """The champions of one snapshot. By row (M,): kinds, those of `plain`, also OTHER where the history's frequency is
    not known; ends, the last date of the history, in nanoseconds; widths of their own intervals.
    """

    snapshot: Snapshot
    plain: PlainModels
    kinds: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    widths: npt.NDArray[np.float64]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Champions:
        """Look through a snapshot once: some ten milliseconds for 100,000 champions."""
        table, plain = snapshot.table, PlainModels.of(snapshot.table, snapshot.numbers)
        kinds = np.where(table.records["freq"] < 0, OTHER, plain.kinds)
        return cls(snapshot, plain, kinds, table.last_dates, table.records["interval_width"].copy())

    def freq(self, row: int) -> str:
        """The frequency of the history of a row of any kind but OTHER."""
        return self.snapshot.table.texts[int(self._freqs[row])]

    @cached_property
    def listing(self) -> Listing:
        """The same champions, to be paged through."""
        return Listing(self.snapshot)

    @cached_property
    def _freqs(self) -> npt.NDArray[np.int16]:
        freqs: npt.NDArray[np.int16] = self.snapshot.table.records["freq"]
        return freqs

    def row_for(self, request: ForecastRequest) -> int | None:
        """The row that a batch can forecast for this request; None where it takes more than that."""
        if not is_ordinary(request):
            return None
        row = self.snapshot.find(request.model_id)
        return None if row is None or self.kinds[row] == OTHER else row


def is_ordinary(request: ForecastRequest) -> bool:
    """Whether a request asks for nothing but the next rows of a champion."""
    said = request.model_fields_set
    return said <= _ORDINARY or all(getattr(request, name) == _SPECIAL[name] for name in said - _ORDINARY)
