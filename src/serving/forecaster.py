"""Answer a batch of requests, one outcome each: what a runner process does all day."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from registry.registry import Registry
from serving.catalog import Catalog
from serving.inline import InlineFits
from serving.loading import load_any
from serving.model import ServingModel, outcome_of
from serving.outcomes import Outcome, Refusal, Refused
from serving.schemas import ForecastRequest
from serving.settings import Settings

log = logging.getLogger("serving.forecaster")


class Forecaster:
    """Finds or fits the model that each request means, and forecasts with it."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._catalog = Catalog(
            registry, settings, lambda version, text: load_any(version, text, settings.mode), settings.prophets_cached
        )
        self._fits = InlineFits(settings)

    def answer(self, requests: Sequence[ForecastRequest]) -> list[Outcome]:
        """One outcome a request, in order; a request that fails leaves its neighbours alone."""
        inline = [request for request in requests if request.data is not None]
        fitted = self._fit_together(inline)

        def find(request: ForecastRequest) -> ServingModel:
            if request.data is None:
                return self._registered(request)
            found = fitted[id(request)] if fitted else self._fits.models([request])[0]
            if isinstance(found, Refusal):
                raise Refused(found.code, found.detail, found.faults)
            return found

        return [outcome_of(request, find) for request in requests]

    def _fit_together(self, requests: Sequence[ForecastRequest]) -> dict[int, ServingModel | Refusal]:
        try:
            return dict(zip(map(id, requests), self._fits.models(requests), strict=True))
        except Exception:
            log.exception("these histories could not be fitted together; each is tried alone")
            return {}

    def _registered(self, request: ForecastRequest) -> ServingModel:
        if request.version is not None:
            return self._catalog.version(request.model_id, request.version).model
        return self._catalog.champion(request.model_id).model
