"""One model ready to answer: a Prophet with its frequency and its provenance, and the forecast it gives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from prophet import Prophet

from forecasting import prophet_model
from forecasting.calendar import dates_from, future_dates, infer_frequency, is_subdaily
from forecasting.errors import RowsError
from registry.versions import ModelVersion
from serving.outcomes import Code, Refused
from serving.schemas import Fault, Forecast, ForecastRequest, ForecastRow, ModelInfo


@dataclass(frozen=True)
class ServingModel:
    """A fitted Prophet and what is known of it.

    freq is the pandas offset alias of its history's grid; identity tells it from every other model and,
    with the rows asked for, seeds Prophet's sampling: the same question to the same model has one answer.
    """

    prophet: Prophet
    freq: str
    identity: str
    info: ModelInfo

    @classmethod
    def registered(cls, version: ModelVersion, prophet: Prophet) -> ServingModel:
        """A version of the registry; what its tags don't say is read off its history."""
        dates = prophet_model.history_dates(prophet)
        return cls(
            prophet=prophet,
            freq=version.tags.get("forecast.freq") or infer_frequency(dates),
            identity=f"{version.name}@{version.version}",
            info=ModelInfo(
                name=version.name,
                version=version.version,
                run_id=version.run_id,
                trained_through=dates[-1].isoformat(),
                solver=version.tags.get("forecast.solver", prophet_model.SOLVER),
            ),
        )

    def answer(self, request: ForecastRequest) -> Forecast:
        """Forecast the rows that the request asks for.

        Raises Refused: for dates, frequencies or regressors that cannot be used, and for numbers
        that are not finite.
        """
        freq = request.freq or self.freq
        rows = self._rows(request, freq)
        try:
            frame = prophet_model.predict(
                self.prophet, rows, interval_width=request.interval_width, seed=self._seed(request, rows)
            )
        except RowsError as error:
            raise _invalid("regressors", str(error)) from error
        columns = ["yhat", "yhat_lower", "yhat_upper"]
        components = prophet_model.component_columns(self.prophet) if request.components else ()
        if not np.isfinite(frame[[*columns, *components]].to_numpy(dtype=float)).all():
            raise Refused(self._fault_code(), "the forecast is not finite: its numbers are too large to compute with")
        return Forecast(
            forecast=_as_rows(frame, subdaily=is_subdaily(freq)),
            model_id=request.model_id,
            generated_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            model=self.info,
            components={name: frame[name].tolist() for name in components} if request.components else None,
        )

    def _rows(self, request: ForecastRequest, freq: str) -> pd.DataFrame:
        """The frame to predict: the future dates, with history's own rows before them where asked for."""
        future = pd.DataFrame({"ds": self._future(request, freq)})
        known = self.prophet.extra_regressors
        for name, values in request.regressors.items():
            if name not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise _invalid(f"regressors.{name}", f"this model has no regressor {name!r}; {has}")
            if len(values) != request.periods:
                raise _invalid(
                    f"regressors.{name}", f"{len(values)} values for {request.periods} future rows: give one a row"
                )
            future[name] = values
        future = prophet_model.with_bounds(future, growth=self.prophet.growth, cap=request.cap, floor=request.floor)
        future = prophet_model.with_last_bounds(self.prophet, future)
        if not request.include_history:
            return future
        history = prophet_model.history_rows(self.prophet)
        return pd.concat([history, future], ignore_index=True)

    def _future(self, request: ForecastRequest, freq: str) -> pd.DatetimeIndex:
        try:
            if request.start is None:
                last = prophet_model.history_dates(self.prophet)[-1]
                return future_dates(last, request.periods, freq)
        except ValueError as error:
            raise _invalid("freq" if request.freq else "periods", str(error)) from error
        start = _naive_utc(request.start)
        try:
            return dates_from(start, request.periods, freq)
        except ValueError as error:
            raise _invalid("freq" if request.freq else "start", str(error)) from error

    def _seed(self, request: ForecastRequest, rows: pd.DataFrame) -> int:
        text = f"{self.identity}|{request.interval_width}|{pd.util.hash_pandas_object(rows).sum()}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def _fault_code(self) -> Code:
        return "unfittable_history" if self.info.name is None else "model_unavailable"


def _naive_utc(text: str) -> pd.Timestamp:
    """Read an ISO date; one with an offset becomes naive UTC, as histories do."""
    try:
        stamp = pd.Timestamp(datetime.fromisoformat(text)).as_unit("ns")
    except (ValueError, OverflowError) as error:
        raise _invalid("start", f"{text!r} is not an ISO 8601 date or time that the calendar holds") from error
    return stamp.tz_convert("UTC").tz_localize(None) if stamp.tzinfo else stamp


def _as_rows(frame: pd.DataFrame, *, subdaily: bool) -> list[ForecastRow]:
    form = "%Y-%m-%dT%H:%M:%S" if subdaily else "%Y-%m-%d"
    return [
        ForecastRow.model_construct(ds=ds, yhat=yhat, yhat_lower=lower, yhat_upper=upper)
        for ds, yhat, lower, upper in zip(
            frame["ds"].dt.strftime(form).tolist(),
            frame["yhat"].tolist(),
            frame["yhat_lower"].tolist(),
            frame["yhat_upper"].tolist(),
            strict=True,
        )
    ]


def _invalid(place: str, message: str) -> Refused:
    return Refused("invalid_request", message, (Fault(place=place, message=message),))
