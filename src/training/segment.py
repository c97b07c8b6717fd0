"""Segments from table to fitted model: the work of the process pool. Imports neither MLflow nor SQL."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from forecasting import prophet_model
from forecasting.errors import Fault, FitError, HistoryError
from forecasting.history import History, check_history
from forecasting.spec import ProphetSpec
from training.backtest import BacktestResult, backtest
from training.config import JobConfig
from training.cutoffs import BY_SOLVER
from training.spool import Chunk


@dataclass(frozen=True)
class Trained:
    """A fitted segment. model_json: the model in Prophet's own format, which is what crosses processes.

    inputs: the columns beside ds that forecast rows need. solver: what found its parameters; log_posterior: the
    logarithm of Stan's density there.
    """

    segment: str
    model_json: str
    inputs: tuple[str, ...]
    solver: str
    log_posterior: float | None
    freq: str
    rows: int
    trained_through: pd.Timestamp
    digest: str
    backtest: BacktestResult
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """A segment that could not be trained, and every reason."""

    segment: str
    faults: tuple[Fault, ...]


Outcome = Trained | Failed


def train_chunk(chunk: Chunk, config: JobConfig) -> list[Outcome]:
    """Train each segment of a chunk, in order: a pure function, the same wherever it runs."""
    return [train_segment(segment, frame, config) for segment, frame in chunk]


def train_segment(segment: str, frame: pd.DataFrame, config: JobConfig) -> Outcome:
    """Check a segment's table, backtest, and fit on all of it.

    frame: ds, y and the model's extra columns; its index numbers the rows in the source. Faults speak of those rows,
    and of the columns by the names that they have in the source.
    """
    try:
        history = check_history(
            frame,
            duplicates=config.checks.duplicates,
            freq=config.checks.freq,
            extra_columns=extra_columns(config.model, frame),
            row_numbers=frame.index.to_numpy(),
            column_names={"ds": config.source.columns.ds, "y": config.source.columns.y},
        )
        return _fit(segment, history, config)
    except HistoryError as error:
        return Failed(segment, error.faults)
    except FitError as error:
        return Failed(segment, (Fault("fit_failed", str(error)),))
    except Exception as error:  # whatever one segment's numbers do to Prophet must not take the others along
        return Failed(segment, (Fault("unexpected_error", f"{type(error).__name__}: {error}"),))


def extra_columns(spec: ProphetSpec, frame: pd.DataFrame) -> tuple[str, ...]:
    """The columns beside ds and y that a fit reads: the regressors, and caps and floors where the table has them."""
    bounds = [name for name in ("cap", "floor") if spec.growth == "logistic" and name in frame]
    return (*spec.history_columns, *bounds)


def _fit(segment: str, history: History, config: JobConfig) -> Trained:
    result = backtest(history, config.model, config.backtest, BY_SOLVER[config.solver])
    model = prophet_model.fit(history, config.model, config.solver)
    return Trained(
        segment=segment,
        model_json=prophet_model.to_json(model),
        inputs=prophet_model.required_columns(model),
        solver=prophet_model.solver_of(model),
        log_posterior=prophet_model.log_posterior_of(model),
        freq=history.freq,
        rows=len(history.frame),
        trained_through=history.trained_through,
        digest=history.digest,
        backtest=result,
        notes=(*history.notes, *result.notes),
    )
