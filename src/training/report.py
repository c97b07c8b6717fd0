"""A job's outcome: for machines as JSON, for people as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from training.ledger import STATUSES, Ledger, SegmentReport, Status

_TABLE_ROWS = 20
_FAILURES_TOLD = 50
_STYLES = {"trained": "green", "held": "yellow", "failed": "red"}


@dataclass(frozen=True)
class JobReport:
    """A job's outcome: every segment in the order of their keys, the job's run in MLflow, and how long it took.

    dry_run: whether it tells only what would be registered and promoted.
    """

    segments: Ledger
    seconds: float
    run_id: str | None = None
    notes: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def totals(self) -> dict[str, int]:
        """How many segments there are, and how many of each status."""
        return {"segments": len(self.segments), **{status: self.segments.count(status) for status in STATUSES}}

    @property
    def mean_metrics(self) -> dict[str, float]:
        """Each metric's mean over the segments where it was measured and is finite."""
        return self.segments.means("metrics")

    @property
    def mean_baseline(self) -> dict[str, float]:
        """As mean_metrics, for seasonal naive."""
        return self.segments.means("baseline")

    @property
    def mean_stock(self) -> dict[str, float]:
        """As mean_metrics, for stock Prophet."""
        return self.segments.means("stock")

    @property
    def exit_code(self) -> int:
        """0 when no segment failed, else 1."""
        return int(self.segments.count("failed") > 0)

    def write(self, path: Path) -> None:
        """Write everything as JSON, one line a segment; a number that JSON does not have becomes null.

        Raises OSError.
        """
        head = {
            "run_id": self.run_id,
            "dry_run": self.dry_run,
            "seconds": round(self.seconds, 3),
            "totals": self.totals,
            "mean_metrics": self.mean_metrics,
            "mean_baseline": self.mean_baseline,
            "mean_stock": self.mean_stock,
            "notes": self.notes,
        }
        with path.open("w", encoding="utf-8", errors="backslashreplace") as file:  # half a character, as JSON has it
            file.write(_json(head, indent=2).removesuffix("\n}"))
            file.write(',\n  "segments": [')
            for number, segment in enumerate(self.segments):
                file.write(",\n    " if number else "\n    ")
                file.write(_json(asdict(segment)))
            file.write("\n  ]\n}\n")

    def print(self, console: Console) -> None:
        """Write the first rows of the table, why versions are held and segments failed, and the totals."""
        console.print(self._summary())

    def _summary(self) -> RenderableType:
        sound, failed = self.segments.count("trained", "held"), self.segments.count("failed")
        parts: list[RenderableType] = []
        if sound:
            parts.append(_table(self.segments.first(_TABLE_ROWS, "trained", "held")))
        if sound > _TABLE_ROWS:
            parts.append(Text(f"and {sound - _TABLE_ROWS} more"))
        of_interest: tuple[Status, ...] = ("trained", "held") if self.dry_run else ("held",)
        parts.extend(map(_decision_line, self.segments.first(_TABLE_ROWS, *of_interest)))
        told = self.segments.first(_FAILURES_TOLD, "failed")
        parts.extend(line for segment in told for line in _failure_lines(segment))
        if failed > _FAILURES_TOLD:
            more = f"and {failed - _FAILURES_TOLD} more that failed; --report FILE tells of all"
            parts.append(Text(more, style="red"))
        parts.extend(Text(note, style="yellow") for note in self.notes)
        parts.append(self._closing_line())
        return Group(*parts)

    def _closing_line(self) -> Text:
        totals, ours, naive, stock = self.totals, self.mean_metrics, self.mean_baseline, self.mean_stock
        counts = ", ".join(f"{totals[status]} {status}" for status in STATUSES)
        line = f"{totals['segments']} segments in {self.seconds:.1f} s: {counts}"
        if "mase" in ours and "mase" in naive:
            line += f"; mean MASE {ours['mase']:.3f}, seasonal naive {naive['mase']:.3f}"
        if "mase" in ours and "mase" in stock:
            line += f", stock Prophet {stock['mase']:.3f}"
        return Text(line, style="bold")


def _table(segments: list[SegmentReport]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("segment", max_width=32, overflow="ellipsis", no_wrap=True)
    for heading in ("status", "rows", "freq", "MASE", "naive", "stock", "coverage", "decision"):
        is_number = heading in {"rows", "MASE", "naive", "stock", "coverage"}
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=True)
    for segment in segments:
        table.add_row(
            Text(segment.segment),
            Text(segment.status, style=_STYLES[segment.status]),
            str(segment.rows),
            segment.freq,
            _figure(segment.metrics.get("mase"), ".3f"),
            _figure(segment.baseline.get("mase"), ".3f"),
            _figure(segment.stock.get("mase"), ".3f"),
            _figure(segment.metrics.get("coverage"), ".0%"),
            segment.decision or "-",
        )
    return table


def _decision_line(segment: SegmentReport) -> Text:
    decision = (str(segment.decision), _STYLES[segment.status])
    return Text.assemble(decision, " ", (segment.segment, "bold"), f": {' '.join(segment.reasons)}")


def _failure_lines(segment: SegmentReport) -> Iterator[Text]:
    for fault in segment.faults:
        yield Text.assemble(
            ("failed", "red"), " ", (segment.segment or "(no segment)", "bold"), f" {fault.code}: {fault.message}"
        )


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(_finite(value), ensure_ascii=False, indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    """The same with None for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
