"""What a job did, segment by segment: for machines as JSON, for people as a table."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from forecasting.errors import Fault

Status = Literal["trained", "held", "failed"]
_TABLE_ROWS = 20
_STYLES = {"trained": "green", "held": "yellow", "failed": "red"}


@dataclass(frozen=True)
class SegmentReport:
    """One segment's outcome.

    status: trained (passed the gate), held (registered, but not to be promoted) or failed. version: its number in
    the registry, None where nothing was registered. rows: of the checked history. metrics and baseline: of the
    backtest, baseline seasonal naive's, stock those of stock Prophet on the same cutoffs. recipe: the one that serves.
    decision: the gate's, "promote" or "hold", with reasons. faults: why it failed.
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


@dataclass(frozen=True)
class JobReport:
    """A job's outcome: every segment in the order of their keys, the job's run in MLflow, and how long it took."""

    segments: tuple[SegmentReport, ...]
    seconds: float
    run_id: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def totals(self) -> dict[str, int]:
        """How many segments there are, and how many of each status."""
        counts: Counter[str] = Counter(segment.status for segment in self.segments)
        return {"segments": len(self.segments), **{status: counts[status] for status in _STYLES}}

    @property
    def mean_metrics(self) -> dict[str, float]:
        """Each metric's mean over the segments where it was measured and is finite."""
        return _means([segment.metrics for segment in self.segments])

    @property
    def mean_baseline(self) -> dict[str, float]:
        """As mean_metrics, for seasonal naive."""
        return _means([segment.baseline for segment in self.segments])

    @property
    def mean_stock(self) -> dict[str, float]:
        """As mean_metrics, for stock Prophet."""
        return _means([segment.stock for segment in self.segments])

    @property
    def exit_code(self) -> int:
        """0 when no segment failed, else 1."""
        return int(self.totals["failed"] > 0)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON's types; a number that JSON does not have becomes null."""
        body = {
            "run_id": self.run_id,
            "seconds": round(self.seconds, 3),
            "totals": self.totals,
            "mean_metrics": self.mean_metrics,
            "mean_baseline": self.mean_baseline,
            "mean_stock": self.mean_stock,
            "notes": self.notes,
            "segments": [asdict(segment) for segment in self.segments],
        }
        finite: dict[str, Any] = _finite(body)
        return finite

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)

    def print(self, console: Console) -> None:
        """Write the summary table, every failure, and the totals."""
        console.print(self._summary())

    def _summary(self) -> RenderableType:
        sound = [segment for segment in self.segments if segment.status != "failed"]
        parts: list[RenderableType] = []
        if sound:
            parts.append(_table(sound[:_TABLE_ROWS]))
        if len(sound) > _TABLE_ROWS:
            parts.append(Text(f"and {len(sound) - _TABLE_ROWS} more"))
        failed = [segment for segment in self.segments if segment.status == "failed"]
        parts.extend(line for segment in failed for line in _failure_lines(segment))
        parts.extend(Text(note, style="yellow") for note in self.notes)
        parts.append(self._closing_line())
        return Group(*parts)

    def _closing_line(self) -> Text:
        totals, ours, naive, stock = self.totals, self.mean_metrics, self.mean_baseline, self.mean_stock
        counts = ", ".join(f"{totals[status]} {status}" for status in _STYLES)
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


def _failure_lines(segment: SegmentReport) -> Iterator[Text]:
    for fault in segment.faults:
        yield Text.assemble(
            ("failed", "red"), " ", (segment.segment or "(no segment)", "bold"), f" {fault.code}: {fault.message}"
        )


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _means(measured: list[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for metrics in measured for name in metrics)
    finite = {name: [m[name] for m in measured if math.isfinite(m.get(name, math.nan))] for name in names}
    return {name: math.fsum(values) / len(values) for name, values in finite.items() if values}


def _finite(value: Any) -> Any:
    """The same with None for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
