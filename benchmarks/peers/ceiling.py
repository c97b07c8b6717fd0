"""This checkout's own service with one route more, which reads its body and answers nothing: the ceiling.

It passes the same processes, server and middleware as a forecast does, and is counted and logged like one.
`bentoml serve benchmarks.peers.ceiling:ForecastService`.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service import ForecastService
from serving.app import ForecastApp

__all__ = ["ForecastService"]

_build = ForecastApp.__init__


async def _nothing(request: Request) -> Response:
    await request.body()
    return Response(b"{}", media_type="application/json")


def _build_with_nothing(app: ForecastApp, *parts: Any) -> None:
    _build(app, *parts)
    app.routes["/nothing"] = {"POST": _nothing}


ForecastApp.__init__ = _build_with_nothing  # type: ignore[method-assign]
