"""Fits of histories that come with the request, kept by content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pandas as pd
from cachetools import LRUCache

from forecasting import prophet_model
from forecasting.errors import Fault as HistoryFault
from forecasting.errors import FitError, HistoryError
from forecasting.history import check_history
from forecasting.spec import ProphetSpec
from serving.model import ServingModel
from serving.outcomes import Code, Refused
from serving.schemas import Fault, ForecastRequest, ModelInfo, Point
from serving.settings import Settings


class InlineFits:
    """Fits a default Prophet to inline history, once for each content."""

    def __init__(self, settings: Settings) -> None:
        self._fits: LRUCache[bytes, ServingModel] = LRUCache(settings.fits_cached)
        self._spec = ProphetSpec()

    def model(self, request: ForecastRequest) -> ServingModel:
        """The model of the request's own data. Raises Refused, naming each faulty row."""
        assert request.data is not None
        key = _digest(request.data)
        model = self._fits.get(key)
        if model is None:
            model = self._fit(request.data)
            self._fits[key] = model
        return model

    def _fit(self, data: Sequence[Point]) -> ServingModel:
        frame = pd.DataFrame({"ds": [point.ds for point in data], "y": [point.y for point in data]})
        try:
            history = check_history(frame, duplicates="error", sort=False)
        except HistoryError as error:
            raise _refused(error.faults) from error
        try:
            prophet = prophet_model.fit(history, self._spec)
        except FitError as error:
            raise Refused("unfittable_history", "Prophet finds no fit for this history") from error
        info = ModelInfo(
            name=None,
            version=None,
            run_id=None,
            trained_through=history.trained_through.isoformat(),
            solver=prophet_model.SOLVER,
        )
        return ServingModel(prophet=prophet, freq=history.freq, identity=history.digest, info=info)


def _digest(data: Sequence[Point]) -> bytes:
    """Tell histories apart by what was sent, before any of the work of reading it."""
    return hashlib.sha256("\n".join(f"{point.ds} {point.y!r}" for point in data).encode()).digest()


def _refused(faults: tuple[HistoryFault, ...]) -> Refused:
    code: Code = "too_few_points" if {fault.code for fault in faults} == {"too_few_points"} else "invalid_history"
    return Refused(
        code,
        faults[0].message,
        tuple(Fault(place=_place(fault), message=fault.message) for fault in faults),
    )


def _place(fault: HistoryFault) -> str:
    if not fault.rows or fault.column is None:
        return "data"
    return f"data.{fault.rows[0]}.{fault.column}"
