"""Fits of histories that come with the request, kept by content."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence

import pandas as pd
from cachetools import LRUCache
from threadpoolctl import threadpool_limits

from forecasting.errors import Fault as HistoryFault
from forecasting.errors import FitError, HistoryError
from forecasting.history import History, check_history
from forecasting.spec import ProphetSpec
from forecasting.state import ForecastModel
from serving.model import ServingModel
from serving.outcomes import Code, Refusal
from serving.predictors import ArrayPredictor, Rows
from serving.schemas import Fault, ForecastRequest, ModelInfo, Point
from serving.settings import Settings

log = logging.getLogger("serving.inline")

_SAMPLE = pd.DataFrame(
    {"ds": pd.date_range("2024-01-01", periods=30), "y": [float(day * day % 11) for day in range(30)]}
)


class InlineFits:
    """Fits a default Prophet to inline histories, once for each content; those of one batch together."""

    def __init__(self, settings: Settings) -> None:
        self._fits: LRUCache[bytes, ServingModel | Refusal] = LRUCache(settings.fits_cached)
        self._spec = ProphetSpec()
        self._mode = settings.mode
        from forecasting.fit import fit_histories  # compiles, with packages that HTTP workers have no use for

        self._fit_histories = fit_histories
        # Small matrices gain nothing from threads, and lose much where runners fight for the same cores.
        threadpool_limits(1)
        # The first fit of a process loads the compiled kernels, or compiles them: no caller should wait for that.
        fit_histories([check_history(_SAMPLE)], self._spec)

    def models(self, requests: Sequence[ForecastRequest]) -> list[ServingModel | Refusal]:
        """The model of each request's own data, or a refusal that names each faulty row; in order.

        What was not met before is fitted together: histories on the same dates share the work.
        """
        keys = [_digest(request.data or ()) for request in requests]
        known = {key: self._fits[key] for key in keys if key in self._fits}
        new = {key: request.data or () for key, request in zip(keys, requests, strict=True) if key not in known}
        known |= self._fit(new)
        self._fits.update(known)
        return [known[key] for key in keys]

    def _fit(self, new: Mapping[bytes, Sequence[Point]]) -> dict[bytes, ServingModel | Refusal]:
        found: dict[bytes, ServingModel | Refusal] = {}
        histories: dict[bytes, History] = {}
        for key, data in new.items():
            checked = _check(data)
            if isinstance(checked, Refusal):
                found[key] = checked
            else:
                histories[key] = checked
        fits = self._fit_histories(list(histories.values()), self._spec)
        for (key, history), fitted in zip(histories.items(), fits, strict=True):
            found[key] = self._as_model(history, fitted)
        return found

    def _as_model(self, history: History, fitted: ForecastModel | FitError) -> ServingModel | Refusal:
        if isinstance(fitted, FitError):
            log.warning("a history could not be fitted: %s", fitted)
            return Refusal("unfittable_history", "Prophet finds no fit for this history")
        info = ModelInfo(
            name=None,
            version=None,
            run_id=None,
            trained_through=history.trained_through.isoformat(),
            solver=fitted.solver,
        )
        rows = Rows(pd.DatetimeIndex(history.frame["ds"]).asi8)
        return ServingModel(ArrayPredictor(fitted, lambda: rows, self._mode), info)


def _digest(data: Sequence[Point]) -> bytes:
    """Tell histories apart by what was sent, before any of the work of reading it."""
    return hashlib.sha256("\n".join(f"{point.ds} {point.y!r}" for point in data).encode()).digest()


def _check(data: Sequence[Point]) -> History | Refusal:
    frame = pd.DataFrame({"ds": [point.ds for point in data], "y": [point.y for point in data]})
    try:
        return check_history(frame, duplicates="error", sort=False)
    except HistoryError as error:
        return _refusal(error.faults)


def _refusal(faults: tuple[HistoryFault, ...]) -> Refusal:
    code: Code = "too_few_points" if {fault.code for fault in faults} == {"too_few_points"} else "invalid_history"
    return Refusal(
        code,
        faults[0].message,
        tuple(Fault(place=_place(fault), message=fault.message) for fault in faults),
    )


def _place(fault: HistoryFault) -> str:
    if not fault.rows or fault.column is None:
        return "data"
    return f"data.{fault.rows[0]}.{fault.column}"
