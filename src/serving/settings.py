"""Every knob of the service: read once, from FORECAST_* environment variables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from forecasting.intervals import Mode


class Settings(BaseSettings):
    """Limits and sizes of one deployment; docs/settings.md describes each, and a test keeps it so.

    The registry is not among them: it is MLflow's own MLFLOW_TRACKING_URI.
    """

    model_config = SettingsConfigDict(env_prefix="FORECAST_", frozen=True, extra="ignore")

    max_periods: int = Field(2000, ge=1, description="Most future rows that one request may ask for.")
    max_rows: int = Field(20_000, ge=2, description="Most rows of inline history in one request.")
    max_body_bytes: int = Field(4 * 2**20, ge=1024, description="Largest request body, in bytes.")
    max_batch: int = Field(1000, ge=1, description="Most requests in one POST /forecast/batch.")
    timeout_seconds: float = Field(10.0, gt=0, description="Time after which a request ends with 504.")
    runner_workers: int = Field(2, ge=1, description="Processes that fit and predict.")
    runner_max_batch: int = Field(32, ge=1, description="Most requests that one runner process takes on in one batch.")
    champion_ttl_seconds: float = Field(
        1.0, ge=0, description="How long a process trusts what it last read about a segment's champion."
    )
    models_cached: int = Field(
        10_000, ge=1, description="Registered models that one HTTP worker keeps loaded, as arrays."
    )
    prophets_cached: int = Field(
        128, ge=1, description="Registered models that one runner process keeps loaded, with their histories."
    )
    intervals: Literal["process", "compat"] = Field(
        "process",
        description="Law of the prediction interval: Prophet's documented process, or its vectorized sampler's.",
    )
    fits_cached: int = Field(128, ge=1, description="Fits of inline history that one runner process keeps.")

    access_log: bool = Field(False, description="Whether every request gets a line in the log.")
    log_format: Literal["text", "json"] = Field("text", description="How the log is written; json: an object a line.")
    tracing: bool = Field(False, description="Whether requests are traced with OpenTelemetry.")

    @property
    def mode(self) -> Mode:
        """`intervals` as forecasting knows it."""
        return Mode(self.intervals)
