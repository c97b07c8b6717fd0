"""The bodies of requests and answers, as docs/openapi.json describes them; a test holds the two together.

They are dicts, so that a field which the service adds later breaks nobody, and a data frame takes them as they are.
"""

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from typing_extensions import TypeIs  # narrows where it says no, too; in typing from Python 3.13 on


class Point(TypedDict):
    """One row of inline history. ds: ISO 8601 date or time; one with an offset is converted to UTC."""

    ds: str
    y: float


class _Request(TypedDict, total=False):
    model_id: str
    periods: int
    data: list[Point] | None
    start: str | None
    freq: str | None
    interval_width: float | None
    include_history: bool
    components: bool
    regressors: dict[str, list[float]]
    cap: float | None
    floor: float | None
    version: int | None


class RowsRequest(_Request):
    """A request for one dict a date, the default."""

    format: NotRequired[Literal["rows"]]


class ColumnsRequest(_Request):
    """A request for one list a column."""

    format: Literal["columns"]


class ForecastRequest(_Request):
    """A forecast of one segment: by its registered champion, or, where data is given, by a fit of that history."""

    format: NotRequired[Literal["rows", "columns"]]


class BatchRequest(TypedDict):
    """Several forecasts in one call."""

    requests: list[ForecastRequest]


class ModelInfo(TypedDict):
    """Which model answered. For inline history, name, version and run_id are None."""

    name: str | None
    version: int | None
    run_id: str | None
    trained_through: str
    solver: str


class ForecastRow(TypedDict):
    """One forecast row: the expected value and its prediction interval. ds: a date, sub-daily with a time; no zone."""

    ds: str
    yhat: float
    yhat_lower: float
    yhat_upper: float


class ForecastColumns(TypedDict):
    """The columns of a forecast, all of one length."""

    ds: list[str]
    yhat: list[float]
    yhat_lower: list[float]
    yhat_upper: list[float]


class _Answer(TypedDict):
    model_id: str
    generated_at: str
    model: ModelInfo
    components: NotRequired[dict[str, list[float]] | None]


class Forecast(_Answer):
    """The answer to one request. components: one list a component, by date; absent unless asked for."""

    forecast: list[ForecastRow]


class ColumnarForecast(_Answer):
    """The answer to one request whose format is columns."""

    columns: ForecastColumns


class Fault(TypedDict):
    """One thing that is wrong with a request. place: path into the request, such as data.3.y; empty for the whole."""

    place: str
    message: str


class Problem(TypedDict):
    """An error, in the form of RFC 9457. code: its stable name, for programs."""

    type: NotRequired[str]
    title: str
    status: int
    detail: str
    code: str
    errors: NotRequired[list[Fault]]


class BatchResponse(TypedDict):
    """One forecast or one problem for each request, in the order asked."""

    results: list[Forecast | ColumnarForecast | Problem]


class RejectedVersion(TypedDict):
    """A champion that cannot be used, instead of which the last good version is served.

    reason: None for callers who may not read /metrics. at: UTC time of the last try, ISO 8601.
    """

    version: int
    reason: str | None
    at: str


class ServedModel(TypedDict):
    """The version that is served for a segment; None where its version carries no such tag.

    version: None where no champion could be used so far: see rejected, the champion if that is not what is served.
    """

    model_id: str
    name: str
    version: int | None
    run_id: str | None
    created_at: str | None
    trained_through: str | None
    freq: str | None
    solver: str | None
    metrics: dict[str, float]
    rejected: NotRequired[RejectedVersion | None]


class ServedModels(TypedDict):
    """A page of what is served, in the order of model_id."""

    models: list[ServedModel]
    next_page_token: str | None


class CatalogHealth(TypedDict):
    """The champions that the host serves from its snapshot, and how well that follows the registry."""

    segments: int
    written_at: str | None
    checked_at: str | None
    age_seconds: float | None
    waiting: int
    rejected: int
    sync_errors: int


class Health(TypedDict):
    """How the service is: healthy, or degraded but still serving; problems says in words what is wrong."""

    status: str
    service: NotRequired[str]
    registry: str
    catalog: NotRequired[CatalogHealth | None]
    problems: NotRequired[list[str]]


def is_problem(body: Any) -> "TypeIs[Problem]":
    """Whether a body, or one result of a batch, is a problem document."""
    return isinstance(body, dict) and isinstance(body.get("code"), str)
