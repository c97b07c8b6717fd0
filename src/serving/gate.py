"""The entrance: who is let in, and how often."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.types import Scope

from serving.access import EVERYBODY, Caller, is_loopback
from serving.keys import PREFIX, KeyRing
from serving.outcomes import Refused
from serving.rate import RateLimiter
from serving.settings import Settings

if TYPE_CHECKING:
    from serving.tokens import TokenVerifier

log = logging.getLogger("serving.gate")

LOOPBACK = "127.0.0.1"
_UNTOLD = (
    "no API keys and no JWT verification are configured, so this service answers only on its own machine: set "
    "FORECAST_KEYS_FILE or FORECAST_JWT_ISSUER (docs/security.md), or FORECAST_ALLOW_ANONYMOUS=true to let everybody in"
)


class ListensTooFar(Exception):
    """The service would listen beyond loopback and could not tell its callers apart."""


class Gate:
    """Tells callers apart by API key or token, or lets in everybody on this machine where neither is configured.

    Raises KeyFileError for a file of keys that is there and cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._anywhere = settings.allow_anonymous
        self._keys = KeyRing(settings.keys_file) if settings.keys_file is not None else None
        self._tokens = _verifier(settings)
        self._limits = RateLimiter()
        self._warned = False

    async def admit(self, scope: Scope) -> Caller:
        """Who asks. Raises Refused for one who is not let in, and for one who asks too often."""
        if self._keys is None and self._tokens is None:
            return self._anybody(scope)
        caller = await self._known(_credential(scope))
        if caller is None:
            raise Refused(
                "unauthenticated", "this needs a valid API key, or a user's token, in the header Authorization"
            )
        if caller.rate is not None:
            wait = self._limits.take(caller.name, caller.rate)
            if wait:
                raise Refused("rate_limited", "this caller has used up its rate", retry_after=wait)
        return caller

    def charge(self, caller: Caller, more: int) -> None:
        """Count the further forecasts of a batch against its caller's rate."""
        if caller.rate is not None and more > 0:
            self._limits.charge(caller.name, caller.rate, more)

    async def _known(self, credential: str | None) -> Caller | None:
        if credential is None:
            return None
        if credential.startswith(PREFIX):
            return self._keys.find(credential) if self._keys is not None else None
        return await self._tokens.find(credential) if self._tokens is not None else None

    def _anybody(self, scope: Scope) -> Caller:
        client = scope.get("client")
        # A unix socket has no address, and neither another machine nor a browser reaches it.
        if self._anywhere or client is None:
            return EVERYBODY
        if is_loopback(client[0]):
            _refuse_web_pages(scope)
            return EVERYBODY
        if not self._warned:
            self._warned = True
            log.warning("refused a caller from another machine: %s", _UNTOLD)
        raise Refused("forbidden", "this service answers only on its own machine")


def tells_callers_apart(settings: Settings) -> bool:
    """Whether keys or tokens are asked for."""
    return settings.keys_file is not None or settings.jwt_issuer is not None


def default_host(settings: Settings) -> str:
    """Where to listen when nobody says: everywhere only for a service that may."""
    return "0.0.0.0" if tells_callers_apart(settings) or settings.allow_anonymous else LOOPBACK


def check_host(host: str, settings: Settings) -> None:
    """Refuse to listen beyond loopback for a service that cannot tell its callers apart. Raises ListensTooFar."""
    if not (is_loopback(host) or tells_callers_apart(settings) or settings.allow_anonymous):
        raise ListensTooFar(f"will not listen on {host}: {_UNTOLD}")


def _credential(scope: Scope) -> str | None:
    """What the caller shows: the header X-API-Key, else a bearer's Authorization."""
    bearer = None
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            return bytes(value).decode("latin-1").strip()
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            bearer = bytes(value[7:]).decode("latin-1").strip()
    return bearer


def _refuse_web_pages(scope: Scope) -> None:
    """Refuse what a page from elsewhere lets a browser on this machine send. Raises Refused.

    Such a page gives itself away by the name under which it reaches this machine (Host), if it had that name resolved
    to a loopback address, or by where it came from (Origin).
    """
    for name, value in scope["headers"]:
        if (name == b"host" or name == b"origin") and not _is_of_this_machine(value):
            raise Refused("forbidden", "this service answers its own machine, and only under a name of loopback")


@lru_cache(maxsize=256)
def _is_of_this_machine(value: bytes) -> bool:
    """Whether the host of a Host or an Origin is loopback."""
    text = value.decode("latin-1")
    try:
        host = urlsplit(text if "//" in text else f"//{text}").hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)


def _verifier(settings: Settings) -> TokenVerifier | None:
    if settings.jwt_issuer is None:
        return None
    from serving.jwks import KeySet  # these bring what most services have no use for
    from serving.tokens import TokenVerifier

    return TokenVerifier(
        settings.own_segments,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        secret=settings.jwt_secret.get_secret_value() if settings.jwt_secret else None,
        keys=KeySet(settings.jwt_jwks_url) if settings.jwt_jwks_url else None,
        leeway=settings.jwt_leeway_seconds,
        rate=settings.jwt_rate,
        inline=settings.jwt_inline,
    )
