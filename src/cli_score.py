"""prophetctl score: how good were the forecasts that were served, and which segments need training again?"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli_faults import fail

out = Console()


def score(
    log: Annotated[
        str,
        typer.Option("--log", envvar="FORECAST_LOG_URL", help="Database of the forecast log, as an SQLAlchemy URL."),
    ],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML file of a training job: its source has the actuals.")
    ] = None,
    path: Annotated[Path | None, typer.Option(help="Actuals as a CSV or Parquet file.")] = None,
    url: Annotated[str | None, typer.Option(help="Actuals' database as an SQLAlchemy URL; goes with --query.")] = None,
    query: Annotated[str | None, typer.Option(help="Query that yields the actuals' rows.")] = None,
    segment_column: Annotated[str | None, typer.Option(help="Name of the column with the segment's key.")] = None,
    ds_column: Annotated[str | None, typer.Option(help="Name of the column with the date or time.")] = None,
    y_column: Annotated[str | None, typer.Option(help="Name of the column with the value.")] = None,
    duplicates: Annotated[
        str | None, typer.Option(help="What to do with rows that share a date: error, sum, mean, last.")
    ] = None,
    freq: Annotated[str | None, typer.Option(help="Frequency as a pandas offset alias; inferred by default.")] = None,
    segment: Annotated[
        list[str] | None, typer.Option("--segment", "-s", help="Only segments that match; may be repeated.")
    ] = None,
    since: Annotated[str, typer.Option(help="Score the dates of the last 12h, 30d, 8w.")] = "30d",
    every: Annotated[
        bool, typer.Option("--every", help="Score all forecasts of a date, not only the last served before it passed.")
    ] = False,
    late: Annotated[
        bool, typer.Option("--late", help="Score forecasts too that were first served when their date had passed.")
    ] = False,
    max_ratio: Annotated[
        float, typer.Option(min=1.0, help="How many times the backtest's MASE the live one may be.")
    ] = 1.5,
    min_points: Annotated[int, typer.Option(min=3, help="Judge no champion by fewer points.")] = 10,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write every segment's score here: .csv, else JSON.")
    ] = None,
    retrain_list: Annotated[
        Path | None, typer.Option(help="Write the segments that drifted here, for `train --segments-from`.")
    ] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            "--tracking-uri",
            envvar="MLFLOW_TRACKING_URI",
            help="MLflow server or database; by default the embedded store under mlruns/.",
        ),
    ] = None,
) -> None:
    """Join the forecast log with actuals: live MASE, coverage and drift per segment, and what to train again."""
    from registry.errors import RegistryError
    from registry.forecast_log import ForecastLog
    from registry.registry import Registry
    from training.config import load_config
    from training.drift import DriftRules
    from training.errors import TrainingError
    from training.retrain import parse_age
    from training.score import score_log
    from training.scoring import ScoreRules
    from training.segment_list import write_list

    overrides = {
        "source.path": path,
        "source.url": url,
        "source.query": query,
        "source.columns.segment": segment_column,
        "source.columns.ds": ds_column,
        "source.columns.y": y_column,
        "checks.duplicates": duplicates,
        "checks.freq": freq,
        "segments": tuple(segment) if segment else None,
    }
    try:
        rules = ScoreRules(
            datetime.now(UTC) - parse_age(since), every, late, DriftRules(max_ratio=max_ratio, min_points=min_points)
        )
        with contextlib.closing(ForecastLog(log)) as opened:
            done = score_log(load_config(config, overrides), opened, Registry(tracking_uri), rules)
        done.print(out)
        if done.run_id is not None:
            out.print(f"run {done.run_id}", highlight=False, soft_wrap=True)
        if report is not None:
            done.write(report)
        if retrain_list is not None:
            write_list(retrain_list, done.drifted)
    except (RegistryError, TrainingError) as error:
        fail(str(error))
    except OSError as error:  # after minutes of scoring, perhaps: what was printed stands
        fail(f"cannot write {error.filename}: {error.strerror}")
    raise typer.Exit(done.exit_code)
