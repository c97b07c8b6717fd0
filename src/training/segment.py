"""Segments from table to fitted model: the work of the process pool. Imports neither MLflow nor SQL."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from forecasting import prophet_model
from forecasting.calibration import calibrate
from forecasting.errors import Fault, FitError, HistoryError
from forecasting.history import History, check_history
from forecasting.prophet_json_writer import write_model
from forecasting.recipe import Recipe
from forecasting.recipe_fit import fit_histories_by
from forecasting.spec import ProphetSpec
from forecasting.state import ForecastModel
from training.backtest import BacktestResult
from training.choice import Choice, choose
from training.config import JobConfig
from training.cutoffs import with_bounds
from training.spool import Chunk

_TOLD = (
    "changepoint_range",
    "changepoint_prior_scale",
    "seasonality_mode",
    "seasonality_prior_scale",
    "yearly_seasonality",
    "weekly_seasonality",
    "daily_seasonality",
)


@dataclass(frozen=True)
class Trained:
    """A fitted segment. model_json: the model in Prophet's own format, which is what crosses processes.

    inputs: the columns beside ds that forecast rows need. recipe: the name of the one that serves. solver: what found
    its parameters; log_posterior: the logarithm of Stan's density there, None for an average. stock: the metrics of
    stock Prophet on the backtest's cutoffs.
    """

    segment: str
    model_json: str
    inputs: tuple[str, ...]
    recipe: str
    solver: str
    log_posterior: float | None
    freq: str
    rows: int
    trained_through: pd.Timestamp
    digest: str
    backtest: BacktestResult
    stock: dict[str, float]
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
    choice = choose(history, config)
    fitted = _by_cmdstan(history, config) if config.solver == "cmdstan" else _by_recipe(history, config, choice)
    model, text = fitted
    return Trained(
        segment=segment,
        model_json=text,
        inputs=model.required_columns,
        recipe=choice.recipe.name,
        solver=model.solver,
        log_posterior=model.log_posterior,
        freq=history.freq,
        rows=len(history.frame),
        trained_through=history.trained_through,
        digest=history.digest,
        backtest=choice.backtest,
        stock=choice.stock,
        notes=(*history.notes, *choice.backtest.notes, *((choice.note,) if choice.note else ())),
    )


def _by_recipe(history: History, config: JobConfig, choice: Choice) -> tuple[ForecastModel, str]:
    """The model of all rows, its intervals as wide as the backtest asks for, and Prophet's JSON of it."""
    recipe, frame = choice.recipe, with_bounds(history, config.model)
    [model] = fit_histories_by(recipe, [History(frame, history.freq)], config.model)
    if isinstance(model, FitError):
        raise model
    model = replace(model, calibration=calibrate(model, recipe, np.array(choice.backtest.ratios)))
    return model, write_model(model, frame, _told(config.model, recipe, history))


def _told(spec: ProphetSpec, recipe: Recipe, history: History) -> dict[str, object]:
    """How the fits were told to go, by Prophet's names for it."""
    y, ds = history.frame["y"].to_numpy(), pd.DatetimeIndex(history.frame["ds"]).as_unit("ns").asi8
    told = recipe.spec(spec, recipe.pace(history.freq).mode(spec, y), ds, history.freq)
    return {name: getattr(told, name) for name in _TOLD}


def _by_cmdstan(history: History, config: JobConfig) -> tuple[ForecastModel, str]:
    prophet = prophet_model.fit(history, config.model, "cmdstan")
    text = prophet_model.to_json(prophet)
    return ForecastModel.from_json(text, freq=history.freq), text
