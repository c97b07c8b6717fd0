"""Segments from table to fitted model: the work of the process pool. Imports neither MLflow nor SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting import prophet_model
from forecasting.backtest import BacktestResult, naive_error
from forecasting.calendar import season_length
from forecasting.choice import Choice, choose, chosen_model
from forecasting.configuration import Configuration
from forecasting.errors import Fault, FitError, HistoryError
from forecasting.history import History, check_history
from forecasting.past import Past
from forecasting.plan import CHAMPION
from forecasting.prophet_json_writer import write_model
from forecasting.recipe import STOCK, Recipe
from forecasting.spec import ProphetSpec
from forecasting.state import ForecastModel
from training.config import JobConfig
from training.sanity import reach
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

    inputs: the columns beside ds that forecast rows need. configuration: how it came about. solver: what found its
    parameters; log_posterior: the logarithm of Stan's density there, None for an average. backtest: its own;
    candidates: the metrics of all that were backtested with it, by the names that `Choice` gives them. reach: how far
    its forecast of a horizon leaves the history's range (`sanity.reach`). volume: the sum of |y| over all rows.
    naive_error: the MASE's unit of this history (`backtest.naive_error`).
    """

    segment: str
    model_json: str
    inputs: tuple[str, ...]
    configuration: Configuration
    solver: str
    log_posterior: float | None
    freq: str
    rows: int
    trained_through: pd.Timestamp
    digest: str
    backtest: BacktestResult
    candidates: Mapping[str, Mapping[str, float]]
    reach: float
    notes: tuple[str, ...]
    volume: float = 0.0
    naive_error: float = float("nan")

    @property
    def recipe(self) -> str:
        """The name of the recipe that serves, or of those that are averaged."""
        return self.configuration.name

    @property
    def stock(self) -> Mapping[str, float]:
        """The metrics of stock Prophet on the backtest's cutoffs; empty where there are none."""
        return self.candidates.get(STOCK.name, {})

    @property
    def champion(self) -> Mapping[str, float] | None:
        """Those of the champion's configuration; None where it was not given or could not be fitted here."""
        return self.candidates.get(CHAMPION)


@dataclass(frozen=True)
class Failed:
    """A segment that could not be trained, and every reason."""

    segment: str
    faults: tuple[Fault, ...]


Outcome = Trained | Failed


def train_chunk(chunk: Chunk, config: JobConfig) -> list[Outcome]:
    """Train each segment of a chunk, in order: a pure function, the same wherever it runs."""
    return [train_segment(segment, frame, config, chunk.champions.get(segment)) for segment, frame in chunk]


def train_segment(
    segment: str, frame: pd.DataFrame, config: JobConfig, champion: Configuration | None = None
) -> Outcome:
    """Check a segment's table, backtest, and fit on all of it.

    frame: ds, y and the model's extra columns; its index numbers the rows in the source. Faults speak of those rows,
    and of the columns by the names that they have in the source. champion: a configuration to backtest beside.
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
        return _fit(segment, history, config, champion)
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


def _fit(segment: str, history: History, config: JobConfig, champion: Configuration | None) -> Trained:
    past = Past.of(history)
    choice = choose(past, config, champion)
    by_cmdstan = choice.configuration.solver == "cmdstan"
    model, text = _by_cmdstan(history, config) if by_cmdstan else _by_recipes(past, choice)
    horizon = config.backtest.horizon or season_length(history.freq)
    return Trained(
        segment=segment,
        model_json=text,
        inputs=model.required_columns,
        configuration=choice.configuration,
        solver=model.solver,
        log_posterior=model.log_posterior,
        freq=history.freq,
        rows=len(history.frame),
        trained_through=history.trained_through,
        digest=history.digest,
        backtest=choice.backtest,
        candidates=choice.candidates,
        reach=reach(model, past.y, past.given(choice.configuration.model), horizon),
        notes=(*history.notes, *choice.backtest.notes, *choice.notes),
        volume=float(np.abs(past.y).sum()),
        naive_error=naive_error(past),
    )


def _by_recipes(past: Past, choice: Choice) -> tuple[ForecastModel, str]:
    """The model of all rows, its intervals as wide as the backtest asks for, and Prophet's JSON of it."""
    recipes, spec, model = choice.configuration.recipes, choice.configuration.model, chosen_model(past, choice)
    frame = prophet_model.with_bounds(past.history.frame, growth=spec.growth, cap=spec.cap, floor=spec.floor)
    return model, write_model(model, frame, _told(spec, recipes[0], past))


def _told(spec: ProphetSpec, recipe: Recipe, past: Past) -> dict[str, object]:
    """How the fits were told to go, by Prophet's names for it."""
    freq = past.history.freq
    told = recipe.spec(spec, recipe.pace(freq).mode(spec, past.y), past.ds, freq)
    return {name: getattr(told, name) for name in _TOLD}


def _by_cmdstan(history: History, config: JobConfig) -> tuple[ForecastModel, str]:
    prophet = prophet_model.fit(history, config.model, "cmdstan")
    text = prophet_model.to_json(prophet)
    return ForecastModel.from_json(text, freq=history.freq), text
