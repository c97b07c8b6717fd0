"""One model ready to answer: a predictor with its provenance, and the forecast that a request gets from it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import pandas as pd

from forecasting.calendar import is_subdaily
from forecasting.errors import ModelError, RowsError
from registry.versions import ModelVersion
from serving.outcomes import INTERNAL_ERROR, Answer, Code, Outcome, Refusal, Refused
from serving.predictors import Floats, Integers, Predicted, Predictor, Rows
from serving.schemas import Fault, ForecastRequest, ModelInfo, ServedModel

log = logging.getLogger("serving.model")


@dataclass(frozen=True)
class ServingModel:
    """A predictor and what is known of where it comes from."""

    predictor: Predictor
    info: ModelInfo

    @classmethod
    def registered(cls, version: ModelVersion, predictor: Predictor, solver: str) -> ServingModel:
        """A version of the registry; solver: what the model itself says, where the version's tags do not."""
        return cls(predictor, model_info(version, predictor.trained_through, solver))

    def answer(self, request: ForecastRequest) -> Answer:
        """Forecast the rows that the request asks for.

        Raises Refused: for dates, frequencies or regressors that cannot be used, and for numbers
        that are not finite.
        """
        freq = request.freq or self.predictor.freq
        if freq is None:
            raise _invalid("freq", "the frequency of this model's history is not known: give freq")
        rows = self._rows(request, freq)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
                found = self.predictor.predict(rows, request.interval_width, components=request.components)
        except RowsError as error:
            raise _invalid("regressors", str(error)) from error
        if not all(np.isfinite(values).all() for values in _numbers(found)):
            raise Refused.of(not_finite("unfittable_history" if self.info.name is None else "model_unavailable"))
        return Answer(
            model_id=request.model_id,
            generated_at=now(),
            model=self.info.model_dump_json().encode(),
            ds=date_texts(rows.ds, subdaily=is_subdaily(freq)),
            yhat=found.yhat.tolist(),
            yhat_lower=found.yhat_lower.tolist(),
            yhat_upper=found.yhat_upper.tolist(),
            interval_width=request.interval_width or self.predictor.interval_width,
            components={name: values.tolist() for name, values in found.components.items()}
            if request.components
            else None,
        )

    def _rows(self, request: ForecastRequest, freq: str) -> Rows:
        """The rows to predict: the future ones, with history's own before them where asked for."""
        ds = self._future(request, freq)
        columns = {**self._regressors(request), **self._bounds(request, len(ds))}
        if not request.include_history:
            return Rows(ds, columns)
        past = self.predictor.history()
        both = past.columns.keys() & columns.keys()
        return Rows(
            np.concatenate([past.ds, ds]), {name: np.concatenate([past.columns[name], columns[name]]) for name in both}
        )

    def _regressors(self, request: ForecastRequest) -> dict[str, Floats]:
        known = self.predictor.inputs
        for name, values in request.regressors.items():
            if name not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise _invalid(f"regressors.{name}", f"this model has no regressor {name!r}; {has}")
            if len(values) != request.periods:
                raise _invalid(
                    f"regressors.{name}", f"{len(values)} values for {request.periods} future rows: give one a row"
                )
        return {name: np.array(values, dtype=np.float64) for name, values in request.regressors.items()}

    def _bounds(self, request: ForecastRequest, rows: int) -> Mapping[str, Floats]:
        """The cap and floor of logistic growth: those asked for, else the history's last carried on."""
        asked = {"cap": request.cap, "floor": request.floor}
        chosen = {name: last if asked[name] is None else asked[name] for name, last in self.predictor.bounds.items()}
        return {name: np.full(rows, value) for name, value in chosen.items() if value is not None}

    def _future(self, request: ForecastRequest, freq: str) -> Integers:
        start = None if request.start is None else _naive_utc(request.start)
        try:
            return self.predictor.future(request.periods, freq, start)
        except (ValueError, ModelError) as error:
            place = "freq" if request.freq else "periods" if start is None else "start"
            raise Refused.of(unusable_dates(place, error)) from error


def outcome_of(request: ForecastRequest, find: Callable[[ForecastRequest], ServingModel]) -> Outcome:
    """The forecast by the model that is found for a request, or why there is none: in a batch errors are values."""
    try:
        return find(request).answer(request)
    except Refused as error:
        return error.refusal
    except Exception:  # a batch has strangers in it: one bug must not cost them their answers
        log.exception("a request failed for a reason that nobody planned for")
        return INTERNAL_ERROR


def model_info(version: ModelVersion, trained_through: pd.Timestamp, solver: str) -> ModelInfo:
    """What an answer says of a registered model; solver: what the model itself says, where the version does not."""
    return ModelInfo(
        name=version.name,
        version=version.version,
        run_id=version.run_id,
        trained_through=trained_through.isoformat(),
        solver=version.tags.get("forecast.solver", solver),
    )


def served_model(version: ModelVersion) -> ServedModel:
    """What the service tells of a champion."""
    tags = version.tags
    return ServedModel(
        model_id=version.segment,
        name=version.name,
        version=version.version,
        run_id=version.run_id,
        created_at=version.created.isoformat(),
        trained_through=tags.get("forecast.trained_through"),
        freq=tags.get("forecast.freq"),
        solver=tags.get("forecast.solver"),
        metrics=version.metrics,
    )


def _numbers(found: Predicted) -> tuple[Floats, ...]:
    return (found.yhat, found.yhat_lower, found.yhat_upper, *found.components.values())


def _naive_utc(text: str) -> pd.Timestamp:
    """Read an ISO date; one with an offset becomes naive UTC, as histories do."""
    try:
        stamp = pd.Timestamp(datetime.fromisoformat(text)).as_unit("ns")
    except (ValueError, OverflowError) as error:
        raise _invalid("start", f"{text!r} is not an ISO 8601 date or time that the calendar holds") from error
    return stamp.tz_convert("UTC").tz_localize(None) if stamp.tzinfo else stamp


def not_finite(code: Code) -> Refusal:
    """What a forecast with infinite numbers becomes."""
    return Refusal(code, "the forecast is not finite: its numbers are too large to compute with")


def unusable_dates(place: str, error: Exception) -> Refusal:
    """What dates that the calendar does not hold become."""
    return Refusal("invalid_request", str(error), (Fault(place=place, message=str(error)),))


def now() -> str:
    """The time of an answer."""
    second, milliseconds = divmod(time.time_ns() // 10**6, 1000)
    return f"{_second_text(second)}.{milliseconds:03d}Z"


@lru_cache(maxsize=1)  # for as long as it lasts
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def date_texts(ds: Integers, *, subdaily: bool) -> list[str]:
    """Dates (rows,) in nanoseconds as they stand in answers."""
    texts: list[str] = np.datetime_as_string(ds.view("M8[ns]"), unit="s" if subdaily else "D").tolist()
    return texts


def _invalid(place: str, message: str) -> Refused:
    return Refused("invalid_request", message, (Fault(place=place, message=message),))
