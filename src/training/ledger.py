"""What became of each segment, set aside in a file as it is told: a job's memory must not grow with its reports."""

from __future__ import annotations

import math
import pickle
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import IO, Literal

from forecasting.errors import Fault
from training.errors import TrainingError

Status = Literal["trained", "held", "failed"]
STATUSES: tuple[Status, ...] = ("trained", "held", "failed")
Rival = Literal["metrics", "baseline", "stock"]  # whose figures: the version's own, seasonal naive's, stock Prophet's
RIVALS: tuple[Rival, ...] = ("metrics", "baseline", "stock")

_IN_MEMORY = 1 << 20  # bytes of reports that a small job keeps without a file


@dataclass(frozen=True)
class SegmentReport:
    """One segment's outcome.

    status: trained (passed the gate), held (registered, but not to be promoted) or failed. version: its number in
    the registry, None where nothing was registered. rows: of the checked history. metrics and baseline: of the
    backtest, baseline seasonal naive's, stock those of stock Prophet on the same cutoffs. recipe: the one that serves.
    decision: the gate's, "promote" or "hold", of a dry run "would promote" or "would hold", with reasons. faults: why
    it failed.
    """

    segment: str
    status: Status
    version: int | None = None
    freq: str | None = None
    rows: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    baseline: Mapping[str, float] = field(default_factory=dict)
    decision: str | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    stock: Mapping[str, float] = field(default_factory=dict)
    recipe: str | None = None


class Ledger:
    """The reports of a job's segments, in the order of their keys whatever the order they come in.

    In memory are the keys, where each report lies in a file that goes with this object, and the figures as plain
    numbers: some 300 bytes a segment, where its report takes kilobytes.
    """

    def __init__(self, reports: Iterable[SegmentReport] = ()) -> None:
        self._file = _unnamed_file()
        weakref.finalize(self, self._file.close)
        self._places: dict[Status, list[tuple[str, int]]] = {status: [] for status in STATUSES}
        self._figures: dict[Rival, dict[str, array[float]]] = {rival: {} for rival in RIVALS}
        self.add(reports)

    def add(self, reports: Iterable[SegmentReport]) -> None:
        """Take reports in. Raises TrainingError when the disk is full."""
        self._file.seek(0, 2)
        for report in reports:
            self._places[report.status].append((report.segment, self._file.tell()))
            try:
                pickle.dump(report, self._file, pickle.HIGHEST_PROTOCOL)
            except OSError as error:
                raise TrainingError(f"cannot set reports aside in {tempfile.gettempdir()}: {error}") from error
            for rival in RIVALS:
                for name, value in getattr(report, rival).items():
                    self._figures[rival].setdefault(name, array("d")).append(value)

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def __iter__(self) -> Iterator[SegmentReport]:
        return self.having(*STATUSES)

    def having(self, *statuses: Status) -> Iterator[SegmentReport]:
        """The reports of some statuses alone, read as they are asked for."""
        for _, place in sorted(chain.from_iterable(self._places[status] for status in statuses)):
            self._file.seek(place)  # each time: others may read meanwhile
            report: SegmentReport = pickle.load(self._file)
            yield report

    def first(self, count: int, *statuses: Status) -> list[SegmentReport]:
        """The first few of some statuses."""
        return list(islice(self.having(*statuses), count))

    def count(self, *statuses: Status) -> int:
        """How many are of some statuses."""
        return sum(len(self._places[status]) for status in statuses)

    def names(self, rival: Rival) -> list[str]:
        """The metrics that some segment has."""
        return list(self._figures[rival])

    def figures(self, rival: Rival, name: str) -> array[float]:
        """One metric of every segment where it was measured, in the order of their reports."""
        return self._figures[rival].get(name, array("d"))

    def means(self, rival: Rival) -> dict[str, float]:
        """Each metric's mean over the segments where it was measured and is finite; the order changes no bit of it."""
        finite = {name: [*filter(math.isfinite, values)] for name, values in self._figures[rival].items()}
        return {name: math.fsum(values) / len(values) for name, values in finite.items() if values}


def _unnamed_file() -> IO[bytes]:
    """A file that is made once there is more than fits in memory, and that goes with the process, killed or not."""
    return tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)
