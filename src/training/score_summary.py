"""Write what a score's run in MLflow tells of all segments: the report, tables, a plot, and the list to retrain."""

from __future__ import annotations

import json
from collections.abc import Iterable
from heapq import nlargest
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from forecasting.metrics import Floats
from training.score_report import COLUMNS, ScoreReport, badness, row_of
from training.scoring import SegmentScore
from training.segment_list import write_list
from training.summary import shown, storable

REPORT, TABLE, SHOWN_TABLE, RETRAIN = "report.json", "scores.parquet", "scores_table.json", "retrain.txt"
_SHOWN_ROWS = 1000  # a browser reads the table that MLflow shows as a whole
_TEXTS = ("segment", "status", "reasons", "first_ds", "last_ds", "naive_error_of")
_COUNTS = ("points", "champion", "champion_points")


def write_summary(report: ScoreReport, folder: Path) -> list[str]:
    """Write REPORT, TABLE, SHOWN_TABLE, RETRAIN and the plot, and say if the latter fails. Raises OSError."""
    report.write(folder / REPORT)
    write_list(folder / RETRAIN, report.drifted)
    _write_tables(report.scores, folder)
    try:
        _draw(report.scores, folder)
    except Exception as error:  # whatever it is, a picture must not cost a score its end
        return [f"The score's plot could not be made: {type(error).__name__}: {error}"]
    return []


def _write_tables(scores: Iterable[SegmentScore], folder: Path) -> None:
    kinds = dict.fromkeys(_TEXTS, pa.string()) | dict.fromkeys(_COUNTS, pa.int64())
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in COLUMNS])
    rows = [_row(score) for score in scores]
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / TABLE)
    worst = [_row(score) for score in nlargest(_SHOWN_ROWS, scores, key=badness)]
    data = [[shown(row[name]) for name in COLUMNS] for row in worst]
    text = json.dumps({"columns": COLUMNS, "data": data}, allow_nan=False)
    (folder / SHOWN_TABLE).write_text(text, encoding="utf-8")


def _row(score: SegmentScore) -> dict[str, object]:
    row = {**row_of(score), "reasons": " ".join(score.reasons)}
    return {name: storable(value) if isinstance(value, str) else value for name, value in row.items()}


def _draw(scores: Iterable[SegmentScore], folder: Path) -> None:
    """The live figures of all segments beside their champions' backtests."""
    from training import plots  # here: matplotlib takes a while to load

    scored = [score for score in scores if score.points]
    if not scored:
        return
    live = _finite(score.champion_mase for score in scored)
    mase = {"champions, live": live, "their backtests": _finite(score.backtest_mase for score in scored)}
    coverage, nominal = (_finite(getattr(score, name) for score in scored) for name in ("coverage", "nominal"))
    bias = _finite(score.bias / score.mean_size if score.mean_size > 0 else np.nan for score in scored)
    (folder / "plots").mkdir()
    plots.draw_distributions(mase, coverage, float(nominal.mean()), bias, folder / "plots" / "live.png")


def _finite(values: Iterable[float]) -> Floats:
    found = np.fromiter(values, dtype=np.float64)
    return found[np.isfinite(found)]
