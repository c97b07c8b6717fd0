"""The HTTP contract as an OpenAPI 3.1 document, made from the schemas themselves.

`python -m serving.openapi` prints it; docs/openapi.json is that output, and the checks compare the two.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving import arrow, schemas

_TYPES: tuple[type[BaseModel], ...] = (
    schemas.ForecastRequest,
    schemas.BatchRequest,
    schemas.Forecast,
    schemas.ColumnarForecast,
    schemas.BatchResponse,
    schemas.ServedModel,
    schemas.ServedModels,
    schemas.Health,
    schemas.Problem,
)
_REFUSALS = {
    "400": "The body is malformed or invalid; errors gives each fault's place.",
    "401": "There is no valid API key or token.",
    "403": "The caller may not have this; nothing is said of whether it exists.",
    "404": "No such segment, champion or version.",
    "413": "The body is too large.",
    "429": "The caller asks more often than it may; see Retry-After.",
    "500": "The service failed.",
    "503": "The model, the registry or a free runner is missing for now; see Retry-After.",
    "504": "The forecast took too long.",
}


@lru_cache(maxsize=1)
def openapi_document() -> dict[str, Any]:
    """The whole document, as JSON-ready values."""
    _, definitions = models_json_schema(
        [(kind, "validation") for kind in _TYPES], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "prophet-forecast",
            "version": "1",
            "description": "Forecasts of registered segments and of inline history.",
        },
        "paths": {
            "/forecast": {
                "post": _posted(
                    "forecast", "Forecast one segment", "ForecastRequest", _ALONE, "Forecast", "ColumnarForecast"
                )
            },
            "/forecast/batch": {
                "post": _also_as_arrow(
                    _posted("forecastBatch", "Forecast several segments", "BatchRequest", _TOGETHER, "BatchResponse")
                )
            },
            "/models": {
                "get": _linked(
                    _got(
                        "models", "What is served", "ServedModels", ("400", *_ADMISSION, "500", "503", "504"), _PAGING
                    ),
                    _FROM_THE_LIST,
                )
            },
            "/models/{model_id}": {
                "get": _got(
                    "model", "One segment's champion", "ServedModel", (*_ADMISSION, "404", "500", "503"), _MODEL_ID
                )
            },
            "/hooks/mlflow": {"post": _HOOK},
            "/health": {"get": {**_got("health", "How the service is", "Health", ("500", "503")), "security": []}},
        },
        # An empty requirement: a service that asks for no keys serves its own machine without.
        "security": [{"bearer": []}, {"apiKey": []}, {}],
        "components": {"schemas": definitions["$defs"], "securitySchemes": _SCHEMES},
    }


_ADMISSION = ("401", "403", "429")
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a user's token (JWT)."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}
_PAGING = [
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
        "description": "Most models on the page; it may hold fewer.",
    },
    {"name": "page_token", "in": "query", "schema": {"type": "string"}, "description": "From the page before."},
    {
        "name": "rejected",
        "in": "query",
        "schema": {"type": "boolean", "default": False},
        "description": "Only segments whose champion cannot be used.",
    },
]
_MODEL_ID = [
    {
        "name": "model_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": "The segment's key, percent-encoded.",
    }
]
_REGISTERED = {"model_id": "user_42_groceries", "periods": 30}
_INLINE = {
    "model_id": "user_42_groceries",
    "periods": 2,
    "data": [{"ds": "2024-01-01", "y": 12}, {"ds": "2024-01-02", "y": 15.5}, {"ds": "2024-01-03", "y": 14}],
}
_ALONE = {
    "registered": {"summary": "A registered segment", "value": _REGISTERED},
    "inline": {"summary": "A history of one's own", "value": _INLINE},
}
_TOGETHER = {"mixed": {"summary": "Both kinds", "value": {"requests": [_REGISTERED, _INLINE]}}}
_FIRST = "$response.body#/models/0/model_id"
_FROM_THE_LIST = {
    "first": {"operationId": "model", "parameters": {"model_id": _FIRST}, "description": "The first of the page."},
    "forecast": {"operationId": "forecast", "requestBody": {"model_id": _FIRST}, "description": "Its forecast."},
    "next": {
        "operationId": "models",
        "parameters": {"page_token": "$response.body#/next_page_token"},
        "description": "The page after this one, where next_page_token is not null.",
    },
}


def _signed(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": True,
        "schema": {"type": "string"},
        "description": description,
    }


def _posted(operation: str, summary: str, body: str, examples: dict[str, Any], *answers: str) -> dict[str, Any]:
    (content,) = _content(body).values()
    return {
        "operationId": operation,
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {**content, "examples": examples}}},
        "responses": _responses(answers, tuple(_REFUSALS)),
    }


def _got(
    operation: str,
    summary: str,
    answer: str,
    refusals: tuple[str, ...],
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        **({"parameters": parameters} if parameters else {}),
        "responses": _responses((answer,), refusals),
    }


def _also_as_arrow(operation: dict[str, Any]) -> dict[str, Any]:
    """The operation, for those whose Accept names Arrow's stream."""
    said = (
        "An IPC stream with the columns request (int32, the place in requests), model_id (dictionary of strings), ds "
        "(timestamp[us]), yhat, yhat_lower and yhat_upper (float64). The schema's metadata has results: a JSON list "
        "with a Problem, or a Forecast without its rows, for each request."
    )
    operation["responses"]["200"]["content"][arrow.MEDIA_TYPE] = {"schema": {"description": said}}
    problem = _content("Problem", media_type="application/problem+json")
    operation["responses"]["406"] = {"description": "Arrow is asked for where there is no pyarrow.", "content": problem}
    return operation


def _linked(operation: dict[str, Any], links: dict[str, Any]) -> dict[str, Any]:
    """The operation, with what its answer is good for."""
    operation["responses"]["200"]["links"] = links
    return operation


def _responses(answers: tuple[str, ...], refusals: tuple[str, ...]) -> dict[str, Any]:
    problem = _content("Problem", media_type="application/problem+json")
    answered = {"200": {"description": "The answer.", "content": _content(*answers)}} if answers else {}
    return {
        **answered,
        **{status: {"description": _REFUSALS[status], "content": problem} for status in refusals},
    }


def _content(*schemas: str, media_type: str = "application/json") -> dict[str, Any]:
    either = [{"$ref": f"#/components/schemas/{schema}"} for schema in schemas]
    return {media_type: {"schema": either[0] if len(either) == 1 else {"anyOf": either}}}


_HOOK = {
    "operationId": "mlflowHook",
    "summary": "A webhook of MLflow's: the champion of a segment has changed",
    "description": "Not there without FORECAST_WEBHOOK_SECRET. A hint, and nothing more: the registry is asked.",
    "parameters": [
        _signed("X-MLflow-Signature", "v1, and base64 of the HMAC-SHA256 of id.timestamp.body."),
        _signed("X-MLflow-Delivery-Id", "The id."),
        _signed("X-MLflow-Timestamp", "The timestamp, in seconds since 1970; five minutes old at most."),
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    "responses": {
        "204": {"description": "Taken, or of no interest."},
        **_responses((), ("401", "404", "413", "429", "500", "503")),
    },
    "security": [],
}


if __name__ == "__main__":
    print(json.dumps(openapi_document(), indent=2, ensure_ascii=False))  # noqa: T201 (its output is the file)
