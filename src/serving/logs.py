"""What ties the lines of a log to a request, and how they are written."""

from __future__ import annotations

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from random import getrandbits
from typing import Literal

from starlette.types import Scope

access = logging.getLogger("serving.access")
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_caller: ContextVar[str | None] = ContextVar("caller", default=None)
_PLAIN_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


def enter_request(scope: Scope) -> bytes:
    """Give the request its id for as long as it is worked on: the caller's X-Request-Id if it is a plain one."""
    request_id = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    if not _PLAIN_ID.fullmatch(request_id):
        request_id = b"%016x" % getrandbits(64)
    _request_id.set(request_id.decode())
    _caller.set(None)
    return bytes(request_id)


def current_request_id() -> str | None:
    """The id of the request that this code works for, None outside of any."""
    return _request_id.get()


def name_caller(caller: str) -> None:
    """Say who asks, once that is known: an id, never a key."""
    _caller.set(caller)


def log_access(method: str, route: str, status: int, seconds: float) -> None:
    """One line a request, for those who want it."""
    extra = {"route": route, "status": status}
    access.info("%s %s %s %.2f ms, %s", method, route, status, seconds * 1e3, _caller.get() or "nobody", extra=extra)


def set_up_logs(form: Literal["text", "json"]) -> None:
    """Let our own info lines through, and write every line of this process in this form."""
    logging.getLogger("serving").setLevel(logging.INFO)
    if form == "json":
        for name in ("", "bentoml", "uvicorn.error"):
            for handler in logging.getLogger(name).handlers:
                handler.setFormatter(JsonLines())


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and request_id, caller, route, status and error
    where known."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": current_request_id(),
            "caller": _caller.get(),
            "route": getattr(record, "route", None),
            "status": getattr(record, "status", None),
            "error": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in line.items() if value is not None}, ensure_ascii=False)
