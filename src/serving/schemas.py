"""The HTTP contract as types: what is asked, what is answered, what an error looks like."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Timestamp = Annotated[str, StringConstraints(strict=True, min_length=4, max_length=40)]
SegmentKey = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=250)]

# What no deployment goes beyond. Lists that are longer are refused before their items are looked at, which would take
# seconds and gigabytes; FORECAST_MAX_ROWS and its like are checked when the body has been read.
MOST_ROWS = 200_000
MOST_PERIODS = 100_000
MOST_REQUESTS = 10_000
MOST_REGRESSORS = 200


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Point(_Asked):
    """One row of inline history."""

    ds: Annotated[Timestamp, Field(description="ISO 8601 date or time; one with an offset is converted to UTC.")]
    y: Finite


class ForecastRequest(_Asked):
    """A forecast of one segment: by its registered champion, or, where data is given, by a fit of that history."""

    model_id: Annotated[SegmentKey, Field(description="The segment's key.")] = "default"
    periods: Annotated[int, Field(ge=1, description="Number of future rows.")] = 30
    data: Annotated[
        list[Point] | None,
        Field(
            max_length=MOST_ROWS,
            description="Inline history, ascending and without duplicate dates; at least two rows.",
        ),
    ] = None
    start: Annotated[
        Timestamp | None,
        Field(description="First date to forecast; by default the row after the model's history."),
    ] = None
    freq: Annotated[
        str | None,
        Field(max_length=20, description="A pandas offset alias; by default the history's own."),
    ] = None
    interval_width: Annotated[
        Finite | None, Field(gt=0, lt=1, description="Width of the prediction interval; by default the model's.")
    ] = None
    include_history: Annotated[bool, Field(description="Put the rows of the history before the future ones.")] = False
    components: Annotated[bool, Field(description="Return trend, seasonalities, holidays and regressors too.")] = False
    regressors: Annotated[
        dict[str, Annotated[list[Finite], Field(max_length=MOST_PERIODS, fail_fast=True)]],
        Field(max_length=MOST_REGRESSORS, description="One number a future row for each extra regressor of the model."),
    ] = Field(default_factory=dict)
    cap: Annotated[Finite | None, Field(description="Saturating maximum, for logistic growth.")] = None
    floor: Annotated[Finite | None, Field(description="Saturating minimum, for logistic growth.")] = None
    version: Annotated[
        int | None,
        Field(ge=1, le=2**31 - 1, description="A registered version to use instead of the champion."),
    ] = None

    format: Annotated[
        Literal["rows", "columns"],
        Field(description="rows: one object a date. columns: one list a column, half the bytes, for bulk users."),
    ] = "rows"

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> ForecastRequest:
        if self.data is not None and self.version is not None:
            raise ValueError("give data or version, not both: a version is a registered model")
        if self.include_history and self.start is not None:
            raise ValueError("give include_history or start, not both: with history the rows start at its beginning")
        return self


class BatchRequest(_Asked):
    """Several forecasts in one call."""

    requests: Annotated[list[ForecastRequest], Field(min_length=1, max_length=MOST_REQUESTS, fail_fast=True)]


class ForecastRow(BaseModel):
    """One forecast row: the expected value and its prediction interval."""

    model_config = ConfigDict(extra="forbid")

    ds: Annotated[str, Field(description="YYYY-MM-DD; for sub-daily frequencies YYYY-MM-DDTHH:MM:SS. No time zone.")]
    yhat: float
    yhat_lower: float
    yhat_upper: float


class ModelInfo(BaseModel):
    """Which model answered. For inline history, name, version and run_id are null."""

    model_config = ConfigDict(extra="forbid")

    name: str | None
    version: int | None
    run_id: str | None
    trained_through: Annotated[str, Field(description="Last ds of the history that the model was fitted to.")]
    solver: Annotated[str, Field(description="What found the parameters.")]


class _Answered(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model_id: str
    generated_at: Annotated[str, Field(description="UTC time of the answer, ISO 8601.")]
    model: ModelInfo
    components: Annotated[
        dict[str, list[float]] | None,
        Field(description="One list a component, in the order of the forecast's dates; absent unless asked for."),
    ] = None


class Forecast(_Answered):
    """The answer to one ForecastRequest."""

    forecast: list[ForecastRow]


class ForecastColumns(BaseModel):
    """The columns of a forecast, all of one length."""

    model_config = ConfigDict(extra="forbid")

    ds: Annotated[list[str], Field(description="As in ForecastRow.")]
    yhat: list[float]
    yhat_lower: list[float]
    yhat_upper: list[float]


class ColumnarForecast(_Answered):
    """The answer to one ForecastRequest whose format is columns."""

    columns: ForecastColumns


class Fault(BaseModel):
    """One thing that is wrong with a request, and where."""

    model_config = ConfigDict(extra="forbid")

    place: Annotated[str, Field(description="Path into the request, such as data.3.y; empty for the whole.")]
    message: str


class Problem(BaseModel):
    """An error, in the form of RFC 9457."""

    model_config = ConfigDict(extra="forbid")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(description="Stable name of the error, for programs.")]
    errors: list[Fault] = []


class BatchResponse(BaseModel):
    """One forecast or one problem for each request, in the order asked."""

    model_config = ConfigDict(extra="forbid")

    results: list[Forecast | ColumnarForecast | Problem]


class RejectedVersion(BaseModel):
    """A champion that cannot be used, instead of which the last good version is served."""

    model_config = ConfigDict(extra="forbid")

    version: int
    reason: Annotated[str | None, Field(description="For callers who may read /metrics; null for others.")]
    at: Annotated[str, Field(description="UTC time of the last try, ISO 8601.")]


class ServedModel(BaseModel):
    """The version that is served for a segment; null where its version carries no such tag."""

    model_config = ConfigDict(extra="forbid")

    model_id: str
    name: str
    version: Annotated[int | None, Field(description="Null where no champion could be used so far: see rejected.")]
    run_id: str | None
    created_at: str | None
    trained_through: str | None
    freq: str | None
    solver: str | None
    metrics: Annotated[dict[str, float], Field(description="Backtest metrics that training logged.")]
    rejected: Annotated[
        RejectedVersion | None, Field(description="The champion, if it is not what is served because it cannot be.")
    ] = None


class ServedModels(BaseModel):
    """A page of what is served, in the order of model_id by code points."""

    model_config = ConfigDict(extra="forbid")

    models: list[ServedModel]
    next_page_token: str | None


class CatalogHealth(BaseModel):
    """The champions that this host serves from its snapshot, and how well that follows the registry."""

    model_config = ConfigDict(extra="forbid")

    segments: int
    written_at: Annotated[str | None, Field(description="UTC time of the snapshot, ISO 8601; null before the first.")]
    checked_at: Annotated[str | None, Field(description="UTC time at which the registry last said what is champion.")]
    age_seconds: Annotated[float | None, Field(description="Time since checked_at.")]
    waiting: Annotated[int, Field(description="Champions that changed and are not read yet.")]
    rejected: Annotated[int, Field(description="Champions that cannot be used; their last good versions are served.")]
    sync_errors: Annotated[int, Field(description="How often following the registry has failed.")]


class Health(BaseModel):
    """How the service is; problems says in words what is wrong."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[str, Field(description="healthy, or degraded: still serving, but something is wrong.")]
    service: str = "prophet-forecast"
    registry: Annotated[str, Field(description="reachable or unreachable")]
    catalog: CatalogHealth | None = None
    problems: list[str] = []
