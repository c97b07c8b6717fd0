"""Answers as JSON, without a schema on the way out: a test holds what is written here to the schemas.

orjson writes the shortest digits that read back as the same float, as Python's json does.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from serving.outcomes import Answer
from serving.schemas import Problem


def forecast_json(answer: Answer, form: str) -> bytes:
    """One answer as a Forecast (form "rows") or a ColumnarForecast ("columns")."""
    body: dict[str, object]
    if form == "columns":
        columns = {"ds": answer.ds, "yhat": answer.yhat, "yhat_lower": answer.yhat_lower}
        body = {"columns": {**columns, "yhat_upper": answer.yhat_upper}}
    else:
        rows = zip(answer.ds, answer.yhat, answer.yhat_lower, answer.yhat_upper, strict=True)
        body = {
            "forecast": [
                {"ds": ds, "yhat": yhat, "yhat_lower": lower, "yhat_upper": upper} for ds, yhat, lower, upper in rows
            ]
        }
    body["model_id"] = answer.model_id
    body["generated_at"] = answer.generated_at
    body["model"] = orjson.Fragment(answer.model)
    if answer.components is not None:
        body["components"] = answer.components
    return orjson.dumps(body)


def problem_json(problem: Problem) -> bytes:
    """One refusal."""
    return problem.model_dump_json().encode()


def batch_json(results: Sequence[bytes]) -> bytes:
    """A BatchResponse of results that are written already."""
    return b'{"results":[' + b",".join(results) + b"]}"
