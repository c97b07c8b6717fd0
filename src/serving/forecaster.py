"""What a runner process does all day: fit inline histories, and answer for models that HTTP workers cannot use."""

from __future__ import annotations

from collections.abc import Sequence

from registry.registry import Registry
from serving.catalog import Catalog
from serving.fits import Fitted
from serving.histories import InlineHistory
from serving.inline import InlineFits
from serving.loading import load_any
from serving.model import ServingModel, outcome_of
from serving.outcomes import Outcome
from serving.schemas import ForecastRequest
from serving.settings import Settings


class Forecaster:
    """Fits histories, and forecasts with registered models; whatever fails leaves its neighbours alone."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._catalog = Catalog(
            registry, settings, lambda version, text: load_any(version, text, settings.mode), settings.prophets_cached
        )
        self._fits = InlineFits()

    def fit(self, histories: Sequence[InlineHistory]) -> list[Fitted]:
        """A model or a refusal for each history, in order."""
        return self._fits.fitted(histories)

    def answer(self, requests: Sequence[ForecastRequest]) -> list[Outcome]:
        """An outcome for each request of a registered segment, in order."""
        return [outcome_of(request, self._registered) for request in requests]

    def _registered(self, request: ForecastRequest) -> ServingModel:
        if request.version is not None:
            return self._catalog.version(request.model_id, request.version).model
        return self._catalog.champion(request.model_id).model
