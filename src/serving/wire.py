"""HTTP as uvicorn reads it, but with an end to what somebody may send, and how slowly, who has not been let in yet.

httptools keeps all of a request's head, and adds each piece to a header's value by copying the whole of it: sixty
megabytes of one header held a worker up for five seconds. And uvicorn waits for the rest of a request for ever.
What is wrong with a request before it is one is answered here in a line of text, as uvicorn does it itself.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
# Longer than the minute for which load balancers keep idle connections: whoever closes first must be the caller.
KEEP_ALIVE_SECONDS = 75


def bound_requests(seconds: float) -> None:
    """Let the servers that this process starts from now on leave callers who need longer for a request than this."""
    BoundedProtocol.seconds = seconds
    HTTP_PROTOCOLS["auto"] = f"{__name__}:BoundedProtocol"


class BoundedProtocol(HttpToolsProtocol):
    """Refuses heads that are too large, and leaves callers who take too long to begin or to end a request.

    A request that arrives in one piece, as most do, costs a few looks at what uvicorn knows anyway. Size is counted by
    the read: only reads that bring a request no further count, those of a head and of the trailers behind a body.
    """

    seconds = 10.0
    _idle_bytes = 0
    _body_came = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for a first request, but not for ever, and for more of them a good while."""
        super().connection_made(transport)
        self.timeout_keep_alive = max(self.timeout_keep_alive, KEEP_ALIVE_SECONDS)
        self._deadline = self.loop.call_later(self.seconds, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_body(self, body: bytes) -> None:
        """Keep in mind that the request came further."""
        self._body_came = True
        super().on_body(body)

    def data_received(self, data: bytes) -> None:
        """Read on, and see how far the request has come."""
        before, had_head = self.scope, self._has_head()
        self._body_came = False
        super().data_received(data)
        if self._has_head() and (self.cycle is None or not self.cycle.more_body):
            self._idle_bytes = 0
            self._stop_waiting()
            return
        if self._body_came or self.scope is not before or self._has_head() != had_head:
            self._idle_bytes = 0
        else:
            self._idle_bytes += len(data)
            if self._idle_bytes > MOST_HEAD_BYTES:
                self._leave(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self._give_up)

    def _has_head(self) -> bool:
        return self.scope is not None and "method" in self.scope

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        self._leave(HTTPStatus.REQUEST_TIMEOUT if self.scope is not None else None)

    def _leave(self, status: HTTPStatus | None) -> None:
        """Close, and say why where no answer is under way that this would fall into."""
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if status is not None and not answering:
            head = f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            text = f"{status.phrase}."
            self.transport.write(f"{head}content-length: {len(text)}\r\nconnection: close\r\n\r\n{text}".encode())
        self.transport.close()
