"""This checkout's own service with one route more, which reads its body and answers nothing: the ceiling.

It passes the same processes, server and middleware as a forecast does, and is counted and logged like one.
`bentoml serve benchmarks.peers.ceiling:ForecastService`.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from service import ForecastService, http

__all__ = ["ForecastService"]


async def _nothing(request: Request) -> Response:
    await request.body()
    return Response(b"{}", media_type="application/json")


http.routes["/nothing"] = {"POST": _nothing}
