"""What schemathesis is told beside the document. It runs in an environment of its own, which has nothing of ours."""

from __future__ import annotations

import json
from typing import Any

import schemathesis

_LEAKS = ("Traceback", 'File "', "/src/", "site-packages", "sqlite", "mlflow.db")


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:  # noqa: ARG001
    """This service has keys: the document's "or without any" is not true of it, and `ignored_auth` holds it to that."""
    raw_schema["security"].remove({})


@schemathesis.check
def refuses_in_one_form(ctx: Any, response: Any, case: Any) -> None:  # noqa: ARG001
    """Every answer has its id; every refusal is a problem that says its own status and nothing of our insides."""
    assert response.headers.get("x-request-id"), "no request id"
    if response.status_code >= 400 and response.request.method != "HEAD":
        assert response.headers["content-type"] == ["application/problem+json"], "not a problem"
        problem = json.loads(response.content)
        assert problem["status"] == response.status_code, "a problem of another status"
        assert len(problem["errors"]) <= 20, "too many faults"
    text = response.content[:100_000].decode(errors="replace")
    assert not [leak for leak in _LEAKS if leak in text], "it tells of its insides"
