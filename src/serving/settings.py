"""Every knob of the service: read once, from FORECAST_* environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from registry.errors import ForecastLogError
from serving.access import OwnSegments, is_loopback
from serving.schemas import MOST_PERIODS, MOST_REQUESTS, MOST_ROWS

if TYPE_CHECKING:
    from forecasting.intervals import Mode


class Settings(BaseSettings):
    """Limits and sizes of one deployment; docs/settings.md describes each, and a test keeps it so.

    The registry is not among them: it is MLflow's own MLFLOW_TRACKING_URI.
    """

    model_config = SettingsConfigDict(
        env_prefix="FORECAST_",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # a secret may be among it
    )

    max_periods: int = Field(2000, ge=1, le=MOST_PERIODS, description="Most future rows that one request may ask for.")
    max_rows: int = Field(20_000, ge=2, le=MOST_ROWS, description="Most rows of inline history in one request.")
    max_body_bytes: int = Field(4 * 2**20, ge=1024, description="Largest request body, in bytes.")
    max_batch: int = Field(1000, ge=1, le=MOST_REQUESTS, description="Most requests in one POST /forecast/batch.")
    timeout_seconds: float = Field(10.0, gt=0, description="Time after which a request ends with 504.")
    runner_workers: int = Field(2, ge=1, description="Processes that fit and predict.")
    runner_max_batch: int = Field(8, ge=1, description="Most histories that one runner process takes on in one call.")
    runner_calls: int = Field(4, ge=1, description="Calls to runners that one HTTP worker makes at the same time.")
    runner_queue: int = Field(256, ge=0, description="Most requests that wait for a runner in one HTTP worker.")
    champion_ttl_seconds: float = Field(
        1.0, ge=0, description="How long a process trusts what it last read about a segment's champion."
    )
    snapshot_dir: str = Field(
        "auto",
        min_length=1,
        description="Folder for the catalog's snapshot; auto: one of this user's in the temp folder.",
    )
    poll_seconds: float = Field(1.0, gt=0, description="Shortest time between two looks at the registry's champions.")
    check_processes: int = Field(2, ge=1, description="Processes that read and check champions when many changed.")
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
    fits_cached: int = Field(1000, ge=1, description="Fits of inline history that one HTTP worker keeps.")
    fits_ttl_seconds: float = Field(3600.0, gt=0, description="How long a fit of inline history is kept.")
    keys_file: Path | None = Field(None, description="File of API keys, as `prophetctl keys` writes it.")
    allow_anonymous: bool = Field(
        False, description="Whether to answer callers on other machines though neither keys nor tokens are asked for."
    )
    jwt_issuer: str | None = Field(None, description="Issuer whose users' tokens are taken.")
    jwt_secret: SecretStr | None = Field(None, min_length=32, description="The issuer's secret, for HS256.")
    jwt_jwks_url: str | None = Field(None, description="Where the issuer's public keys are, for ES256 and RS256.")
    jwt_audience: str = Field("authenticated", description="Audience that a token must be meant for.")
    jwt_segments: str = Field("user_{sub}_*", description="Which segments are those of a token's subject.")
    jwt_rate: float | None = Field(None, gt=0, description="Forecasts a second that one user may have.")
    jwt_inline: bool = Field(True, description="Whether users may have histories of their own fitted.")
    jwt_leeway_seconds: float = Field(10.0, ge=0, le=300, description="How far the issuer's clock may differ.")

    log_url: SecretStr | None = Field(None, description="Database of the forecast log, as an SQLAlchemy URL.")
    log_buffer: int = Field(
        1_000_000, ge=1, description="Most forecast rows that a worker keeps while that database is away."
    )
    webhook_secret: SecretStr | None = Field(
        None, min_length=16, description="Secret by which MLflow signs what it posts to /hooks/mlflow."
    )

    access_log: bool = Field(False, description="Whether every request gets a line in the log.")
    log_format: Literal["text", "json"] = Field("text", description="How the log is written; json: an object a line.")
    tracing: bool = Field(False, description="Whether requests are traced with OpenTelemetry.")
    tracing_rate: float = Field(1.0, ge=0, le=1, description="Share of requests traced whose callers do not decide it.")

    @property
    def mode(self) -> Mode:
        """`intervals` as forecasting knows it."""
        from forecasting.intervals import Mode  # numpy with it, which reading settings can do without

        return Mode(self.intervals)

    @property
    def own_segments(self) -> OwnSegments:
        """`jwt_segments`, understood."""
        return OwnSegments(self.jwt_segments)

    @field_validator("log_url")
    @classmethod
    def _names_a_log(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return url
        from registry.forecast_log import ForecastLog  # SQLAlchemy with it

        try:
            ForecastLog(url.get_secret_value())  # which connects when it is used
        except ForecastLogError as error:
            raise ValueError(str(error)) from None
        return url

    @model_validator(mode="after")
    def _refuse_half_a_verification(self) -> Settings:
        keys = self.jwt_secret is not None or self.jwt_jwks_url is not None
        if keys != (self.jwt_issuer is not None):
            raise ValueError(
                "FORECAST_JWT_ISSUER goes with FORECAST_JWT_SECRET or FORECAST_JWT_JWKS_URL, and they with it"
            )
        if self.jwt_jwks_url is not None:
            url = urlsplit(self.jwt_jwks_url)
            if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
                raise ValueError(
                    "FORECAST_JWT_JWKS_URL must start with https://: whoever could change the answer could sign tokens"
                )
        OwnSegments(self.jwt_segments)
        return self
