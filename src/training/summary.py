"""Write what a job's run in MLflow tells of all its segments: the report, a table, plots, and what they came of."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from heapq import nlargest
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from registry.log import TrainingData
from registry.store import without_password
from training.config import JobConfig, SourceConfig
from training.dataset import Dataset
from training.highlights import Highlights, view_of
from training.ledger import RIVALS, Ledger, SegmentReport
from training.report import JobReport

REPORT, TABLE, SHOWN_TABLE = "report.json", "segments.parquet", "segments_table.json"
_SHOWN_ROWS = 1000  # a browser reads the table that MLflow shows as a whole
_BATCH = 1000
_PREFIXES = {"metrics": "", "baseline": "baseline_", "stock": "stock_"}
Floats = npt.NDArray[np.float64]
_TEXTS = ("segment", "status", "recipe", "freq", "decision", "reasons", "notes", "faults")


def write_summary(report: JobReport, highlights: Highlights, config: JobConfig, folder: Path) -> list[str]:
    """Write REPORT, both tables and the plots, and say which of the latter could not be made. Raises OSError."""
    parts: dict[str, Callable[[], None]] = {
        "plots": lambda: _draw_plots(report.segments, highlights, config, folder / "plots"),
        "tables": lambda: _write_tables(report.segments, folder),
    }
    notes = []
    for what, make in parts.items():
        try:
            make()
        except Exception as error:  # whatever it is, a picture must not cost a job its end
            notes.append(f"The job's {what} could not be made: {type(error).__name__}: {error}")
    replace(report, notes=(*report.notes, *notes)).write(folder / REPORT)
    return notes


def training_data(config: JobConfig, dataset: Dataset, segments: int) -> TrainingData:
    """What MLflow is told of the table that a job was trained on; of a database's URL all but its password."""
    source = config.source
    columns = {getattr(source.columns, name, name): kind for name, kind in dataset.columns.items()}
    name, kind, place = _origin(source)
    profile = {"num_rows": dataset.rows, "num_segments": segments}
    return TrainingData(name, dataset.digest, kind, place, columns, profile)


def _write_tables(ledger: Ledger, folder: Path) -> None:
    """Write every segment as a row of TABLE, and the worst in SHOWN_TABLE, in the form of MLflow's log_table."""
    metrics = [f"{_PREFIXES[rival]}{name}" for rival in RIVALS for name in ledger.names(rival)]
    schema = pa.schema(
        [(name, pa.string()) for name in _TEXTS]
        + [("version", pa.int64()), ("rows", pa.int64())]
        + [(name, pa.float64()) for name in metrics]
    )
    with pq.ParquetWriter(folder / TABLE, schema) as file:
        for reports in _in_batches(ledger):
            file.write_batch(pa.RecordBatch.from_pylist([_row(report) for report in reports], schema))
    rows = [_row(report) for report in nlargest(_SHOWN_ROWS, ledger, key=_badness)]
    data = [[shown(row.get(name)) for name in schema.names] for row in rows]
    text = json.dumps({"columns": schema.names, "data": data}, allow_nan=False)
    (folder / SHOWN_TABLE).write_text(text, encoding="utf-8")


def _draw_plots(ledger: Ledger, highlights: Highlights, config: JobConfig, folder: Path) -> None:
    """Draw the distributions of the metrics, and the forecasts of the worst and the largest segments."""
    from training import plots  # here: matplotlib takes a while to load, and a backtest draws nothing

    mase = {
        "recipes that serve": _finite(ledger.figures("metrics", "mase")),
        "stock Prophet": _finite(ledger.figures("stock", "mase")),
        "seasonal naive": _finite(ledger.figures("baseline", "mase")),
    }
    folder.mkdir()
    if any(map(len, mase.values())):
        coverage, bias = _finite(ledger.figures("metrics", "coverage")), _finite(highlights.relative_bias)
        plots.draw_distributions(mase, coverage, config.model.interval_width, bias, folder / "distributions.png")
    for name, title, ones in (
        ("worst", "The segments with the greatest MASE", highlights.worst),
        ("largest", "The segments with the greatest volume", highlights.largest),
    ):
        if ones:
            views = [view_of(one, config.backtest) for one in ones]
            plots.draw_forecasts(views, title, config.source.columns.y, folder / f"{name}.png")


def _origin(source: SourceConfig) -> tuple[str, str, dict[str, str]]:
    """A name for a source, MLflow's word for its kind, and where it is."""
    if source.path is not None:
        return source.path.name, "local", {"uri": str(source.path.absolute())}
    if source.url is not None and source.query is not None:
        return "query", "sql", {"url": without_password(source.url).partition("?")[0], "query": source.query}
    return "dataframe", "spark", {}


def _row(report: SegmentReport) -> dict[str, Any]:
    """A report as one row: lists as text, a rival's metrics under names of their own."""
    row: dict[str, Any] = {name: getattr(report, name) for name in (*_TEXTS, "version", "rows")}
    row |= {name: " ".join(row[name]) for name in ("reasons", "notes")}
    row["faults"] = " ".join(fault.message for fault in report.faults)
    row |= {name: storable(row[name]) for name in _TEXTS if row[name] is not None}
    for rival in RIVALS:
        row |= {f"{_PREFIXES[rival]}{name}": value for name, value in getattr(report, rival).items()}
    return row


def storable(text: str) -> str:
    """Without half characters, which a file cannot hold."""
    return text.encode(errors="backslashreplace").decode()


def shown(value: Any) -> Any:
    """A cell for people: four digits of a number, and nothing for one that is not finite."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _badness(report: SegmentReport) -> float:
    """By which the table that is shown is sorted; what failed is told of elsewhere and comes last."""
    return report.metrics.get("mase", -1.0)


def _in_batches(reports: Iterable[SegmentReport]) -> Iterator[list[SegmentReport]]:
    waiting = iter(reports)
    while batch := list(islice(waiting, _BATCH)):
        yield batch


def _finite(values: array[float]) -> Floats:
    found = np.frombuffer(values, dtype=np.float64) if len(values) else np.empty(0)
    return found[np.isfinite(found)]
