"""The champions of one snapshot as batches need them: which are of one kind, and where their histories end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecasting.grid import OTHER, plain_kinds
from serving.schemas import ForecastRequest
from serving.snapshot import Snapshot

_ASKED = ForecastRequest.model_fields
_ORDINARY = {"model_id", "periods", "interval_width", "format"}  # what a request may say and be forecast in a batch
_SPECIAL = {name: _ASKED[name].get_default() for name in _ASKED if name not in _ORDINARY}


@dataclass(frozen=True, eq=False)
class Champions:
    """The champions of one snapshot. By row (M,): kinds as `plain_kinds` gives them, OTHER too where no frequency is
    known; ends: the last date of the history, in nanoseconds; widths: of their own intervals.
    """

    snapshot: Snapshot
    kinds: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    widths: npt.NDArray[np.float64]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Champions:
        """Look through a snapshot once: some milliseconds for 100,000 champions."""
        table = snapshot.table
        kinds = plain_kinds(table)
        kinds[table.records["freq"] < 0] = OTHER
        return cls(snapshot, kinds, table.last_dates, table.records["interval_width"].copy())

    def freq(self, row: int) -> str:
        """The frequency of a row that has one."""
        table = self.snapshot.table
        return table.texts[int(table.records["freq"][row])]

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
