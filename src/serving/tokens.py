"""JSON Web Tokens of users, such as Supabase's: who signed them, for whom, and which segments are the user's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt
from cachetools import LRUCache

from serving.access import Caller, OwnSegments
from serving.jwks import KeySet

LONGEST_TOKEN = 8192
_KEPT = 10_000
_KEPT_SECONDS = 60.0


class TokenVerifier:
    """Lets in the users whose tokens one issuer has signed for one audience.

    secret: the issuer's, for HS256. keys: its public keys, for ES256 and RS256. Each algorithm has keys of its own kind
    and no other is taken, so that a public key never serves as a secret; `none` is not among them.
    leeway: seconds by which clocks may differ.
    """

    def __init__(
        self,
        segments: OwnSegments,
        *,
        issuer: str,
        audience: str,
        secret: str | None = None,
        keys: KeySet | None = None,
        leeway: float = 10.0,
        rate: float | None = None,
        inline: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._segments = segments
        self._issuer = issuer
        self._audience = audience
        self._secret = secret
        self._keys = keys
        self._leeway = leeway
        self._rate = rate
        self._inline = inline
        self._now = now
        self._known: LRUCache[str, tuple[float, Caller]] = LRUCache(_KEPT)

    async def find(self, token: str) -> Caller | None:
        """The user whose token this is, None for one that is not to be believed."""
        until, caller = self._known.get(token, (0.0, None))
        if caller is not None and self._now() < until:
            return caller
        try:
            claims = await self._claims(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None  # the text is the caller's: its header may be any JSON
        pattern = self._segments.of(claims["sub"]) if claims is not None else None
        if claims is None or pattern is None:
            return None
        caller = Caller(f"user:{claims['sub']}", (pattern,), self._rate, self._inline)
        self._known[token] = min(float(claims["exp"]) + self._leeway, self._now() + _KEPT_SECONDS), caller
        return caller

    async def _claims(self, token: str) -> dict[str, Any] | None:
        if len(token) > LONGEST_TOKEN:
            return None
        header = jwt.get_unverified_header(token)
        key = await self._key(header.get("alg"), header.get("kid"))
        if key is None:
            return None
        return jwt.decode(
            token,
            key,
            algorithms=[header["alg"]],
            issuer=self._issuer,
            audience=self._audience,
            leeway=self._leeway,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )

    async def _key(self, algorithm: object, key_id: object) -> str | jwt.PyJWK | None:
        if algorithm == "HS256":
            return self._secret
        if algorithm in ("ES256", "RS256") and self._keys is not None and isinstance(key_id, str | None):
            key = await self._keys.find(key_id)
            return key if key is not None and key.algorithm_name == algorithm else None
        return None
