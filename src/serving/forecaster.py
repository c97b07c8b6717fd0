"""Answer a batch of requests, one outcome each: what a runner process does all day."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from registry.registry import Registry
from serving.catalog import Catalog
from serving.inline import InlineFits
from serving.outcomes import Outcome, Refusal, Refused
from serving.schemas import Forecast, ForecastRequest
from serving.settings import Settings

log = logging.getLogger("serving.forecaster")


class Forecaster:
    """Finds or fits the model that each request means, and forecasts with it."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._catalog = Catalog(registry, settings)
        self._fits = InlineFits(settings)

    def answer(self, requests: Sequence[ForecastRequest]) -> list[Outcome]:
        """One outcome a request, in order; a request that fails leaves its neighbours alone."""
        return [self._outcome(request) for request in requests]

    def _outcome(self, request: ForecastRequest) -> Outcome:
        try:
            return self._forecast(request)
        except Refused as error:
            return error.refusal
        except Exception:  # a batch has strangers in it: one bug must not cost them their answers
            log.exception("a request failed for a reason that nobody planned for")
            return Refusal("internal_error", "the service failed on this request; its log says why")

    def _forecast(self, request: ForecastRequest) -> Forecast:
        if request.data is not None:
            return self._fits.model(request).answer(request)
        if request.version is not None:
            return self._catalog.version(request.model_id, request.version).answer(request)
        return self._catalog.champion(request.model_id).answer(request)
