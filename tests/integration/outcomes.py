"""What callers would read of an outcome."""

from __future__ import annotations

from serving.outcomes import Answer
from serving.rendering import forecast_json
from serving.schemas import Forecast


def as_forecast(answer: Answer) -> Forecast:
    """The answer as it goes over the wire, held to its schema."""
    return Forecast.model_validate_json(forecast_json(answer, "rows"))
