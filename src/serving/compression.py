"""gzip for large answers, where the caller takes it: a small one costs more to squeeze than to send."""

from __future__ import annotations

import asyncio
import gzip

from starlette.requests import Request
from starlette.responses import Response

_LEAST_BYTES = 16 * 1024  # a forecast of 30 rows has three thousand
_LEVEL = 1  # JSON of numbers: the slower levels save little more


async def compressed(request: Request, body: bytes) -> Response:
    """Answer with JSON, in gzip where it is large and the caller takes it."""
    if len(body) < _LEAST_BYTES:
        return Response(body, media_type="application/json")
    headers = {"Vary": "Accept-Encoding"}
    if takes_gzip(request.headers.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
        body = await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
    return Response(body, media_type="application/json", headers=headers)


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding names gzip, or everything, without a weight of 0."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        coding, _, parameter = part.partition(";")
        try:
            weights[coding.strip()] = float(parameter.partition("q=")[2] or 1.0)
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0.0
