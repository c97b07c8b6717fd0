"""What a score came to: for machines as JSON or CSV, for people as a table."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from training.scoring import ScoreRules, SegmentScore

STATUSES = ("drifted", "steady", "unjudged", "failed")
_STYLES = {"drifted": "yellow", "steady": "green", "unjudged": "dim", "failed": "red"}
_TABLE_ROWS = 20
_TOLD = 20
_MEANS = ("mase", "smape", "wape", "coverage", "nominal", "champion_mase", "backtest_mase", "ratio")


@dataclass(frozen=True)
class ScoreReport:
    """The scores of all segments that have both forecasts and actuals, in the order of their keys.

    silent: how many have logged forecasts and no row in the source. run_id: the score's run in MLflow.
    """

    scores: tuple[SegmentScore, ...]
    seconds: float
    rules: ScoreRules
    silent: int = 0
    run_id: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def drifted(self) -> list[str]:
        """The segments to train again."""
        return [score.segment for score in self.scores if score.status == "drifted"]

    @property
    def totals(self) -> dict[str, int]:
        """How many segments were scored, how many there are of each status, how many points, and `silent`."""
        counts = {status: sum(score.status == status for score in self.scores) for status in STATUSES}
        points = sum(score.points for score in self.scores)
        return {"segments": len(self.scores), **counts, "points": points, "silent": self.silent}

    @property
    def means(self) -> dict[str, float]:
        """Each measure's mean over the segments where it is defined."""
        found = {name: [getattr(score, name) for score in self.scores] for name in _MEANS}
        finite = {name: [*filter(math.isfinite, values)] for name, values in found.items()}
        return {name: math.fsum(values) / len(values) for name, values in finite.items() if values}

    @property
    def figures(self) -> dict[str, float]:
        """All of these by the names that they have in MLflow."""
        totals = {f"live.{name}": float(count) for name, count in self.totals.items()}
        return totals | {f"live.mean_{name}": value for name, value in self.means.items()}

    @property
    def exit_code(self) -> int:
        """0 when no segment failed, else 1; drift is no failure."""
        return int(any(score.status == "failed" for score in self.scores))

    def write(self, path: Path) -> None:
        """Write everything: as CSV, a row a segment, where the name ends so, else as JSON. Raises OSError."""
        if path.suffix.lower() == ".csv":
            self._write_csv(path)
            return
        body = {
            "run_id": self.run_id,
            "seconds": round(self.seconds, 3),
            "since": self.rules.since.isoformat(),
            "totals": self.totals,
            "means": self.means,
            "retrain": self.drifted,
            "notes": self.notes,
            "segments": [row_of(score) for score in self.scores],
        }
        text = json.dumps(body, ensure_ascii=False, indent=1, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")  # half a character, as JSON has it

    def print(self, console: Console) -> None:
        """Write the worst segments as a table, why some drifted or failed, and the totals."""
        console.print(self._summary())

    def _write_csv(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            rows = csv.DictWriter(file, COLUMNS)
            rows.writeheader()
            rows.writerows({**row_of(score), "reasons": " ".join(score.reasons)} for score in self.scores)

    def _summary(self) -> RenderableType:
        parts: list[RenderableType] = []
        scored = [score for score in self.scores if score.points]
        if scored:
            parts.append(_table(sorted(scored, key=badness, reverse=True)[:_TABLE_ROWS]))
        if len(scored) > _TABLE_ROWS:
            parts.append(Text(f"and {len(scored) - _TABLE_ROWS} more"))
        for status in ("drifted", "failed"):
            ones = [score for score in self.scores if score.status == status]
            parts.extend(_line(score) for score in ones[:_TOLD])
            if len(ones) > _TOLD:
                parts.append(Text(f"and {len(ones) - _TOLD} more; --report FILE tells of all", _STYLES[status]))
        parts.extend(Text(note, style="yellow") for note in self.notes)
        return Group(*parts, self._closing_line())

    def _closing_line(self) -> Text:
        totals, means = self.totals, self.means
        counts = ", ".join(f"{totals[status]} {status}" for status in STATUSES)
        line = f"{totals['segments']} segments, {totals['points']} points in {self.seconds:.1f} s: {counts}"
        if "mase" in means:
            line += f"; mean live MASE {means['mase']:.3f}"
        if "coverage" in means:
            line += f", coverage {means['coverage']:.0%} of {means['nominal']:.0%}"
        if self.silent:
            line += f"; {self.silent} more have forecasts and no actuals"
        return Text(line, style="bold")


def row_of(score: SegmentScore) -> dict[str, Any]:
    """A score as one row, ratio included; None for a number that is not finite."""
    values = {**asdict(score), "ratio": score.ratio}
    return {name: None if _is_undefined(values[name]) else values[name] for name in COLUMNS}


def badness(score: SegmentScore) -> tuple[bool, float, float]:
    """By which scores are sorted: what drifted, then what is furthest above its backtest, then the greatest MASE."""
    ratio, mase = (-1.0 if math.isnan(figure) else figure for figure in (score.ratio, score.mase))
    return score.status == "drifted", ratio, mase


COLUMNS = (*SegmentScore.__dataclass_fields__, "ratio")


def _is_undefined(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _table(scores: Sequence[SegmentScore]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("segment", max_width=32, overflow="ellipsis", no_wrap=True)
    table.add_column("status", no_wrap=True)
    columns: dict[str, Callable[[SegmentScore], str]] = {
        "points": lambda score: str(score.points),
        "MASE": lambda score: _figure(score.mase, ".3f"),
        "backtest": lambda score: _figure(score.backtest_mase, ".3f"),
        "times": lambda score: _figure(score.ratio, ".2f"),
        "coverage": lambda score: f"{score.coverage:.0%} of {score.nominal:.0%}",
        "bias": lambda score: _figure(score.bias, ".4g"),
    }
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for score in scores:
        status = Text(score.status, style=_STYLES[score.status])
        table.add_row(Text(score.segment), status, *(shown(score) for shown in columns.values()))
    return table


def _line(score: SegmentScore) -> Text:
    return Text.assemble(
        (score.status, _STYLES[score.status]), " ", (score.segment, "bold"), f": {' '.join(score.reasons)}"
    )


def _figure(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"
