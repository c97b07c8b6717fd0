"""What can go wrong with a call.

ForecastError
├── StatusError            the service, or something before it, answered with an error
│   ├── BadRequestError      400
│   ├── AuthenticationError  401
│   ├── ForbiddenError       403
│   ├── NotFoundError        404
│   ├── TooLargeError        413
│   ├── RateLimitError       429
│   ├── InternalError        500
│   ├── UnavailableError     503
│   └── ServiceTimeoutError  504
├── UnreachableError       no whole answer came through
├── ClientTimeoutError     this client's own time ran out
└── InvalidAnswerError     an answer came that is not the service's
"""

from __future__ import annotations

from prophet_serving_client.contract import Fault, Problem


class ForecastError(Exception):
    """A call failed. request_id: under which the service logged it, or, without an answer, the one that was sent.

    attempts: how often the request was sent.
    """

    def __init__(self, message: str, *, request_id: str, attempts: int) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.attempts = attempts


class StatusError(ForecastError):
    """An answer with an error status.

    code: the stable name of the error, None where something else than the service answered, such as a proxy.
    detail: what the service says of it. errors: each fault of the request with its place, at most 20.
    retry_after: the seconds that the service asks to wait, or None.
    """

    def __init__(
        self, status: int, problem: Problem | None, retry_after: float | None, *, request_id: str, attempts: int
    ) -> None:
        message = f"HTTP {status}" if problem is None else f"{status} {problem['code']}: {problem['detail']}"
        super().__init__(message, request_id=request_id, attempts=attempts)
        self.status = status
        self.code: str | None = None if problem is None else problem["code"]
        self.detail: str | None = None if problem is None else problem["detail"]
        self.errors: list[Fault] = [] if problem is None else problem.get("errors", [])
        self.retry_after = retry_after


class BadRequestError(StatusError):
    """400."""


class AuthenticationError(StatusError):
    """401."""


class ForbiddenError(StatusError):
    """403."""


class NotFoundError(StatusError):
    """404."""


class TooLargeError(StatusError):
    """413."""


class RateLimitError(StatusError):
    """429."""


class InternalError(StatusError):
    """500."""


class UnavailableError(StatusError):
    """503."""


class ServiceTimeoutError(StatusError):
    """504."""


class UnreachableError(ForecastError):
    """The connection failed or ended before the answer did; its cause is httpx's error."""


class ClientTimeoutError(ForecastError):
    """No whole answer within `timeout`, or within what was left of `budget`."""


class InvalidAnswerError(ForecastError):
    """A success that is not JSON, or not whole: `base_url` names something else, or a proxy meddles."""


OF_STATUS: dict[int, type[StatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    413: TooLargeError,
    429: RateLimitError,
    500: InternalError,
    503: UnavailableError,
    504: ServiceTimeoutError,
}
