"""An issuer's public keys, fetched from its JWKS URL."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import jwt

log = logging.getLogger("serving.jwks")

_FRESH_SECONDS = 600.0
_COOLDOWN_SECONDS = 30.0
_LONGEST_SECONDS = 24 * 3600.0
_TIMEOUT_SECONDS = 5.0


class KeySet:
    """Public keys by their id.

    They are fetched anew after ten minutes, and for an id that is not among them, which is how a rotated key is
    found; never more often than every 30 seconds, so that tokens with invented ids cost the issuer nothing. While
    the issuer does not answer, the keys that it gave last are good for a day.
    clock: seconds from any start, never going back.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=_TIMEOUT_SECONDS)
        self._clock = clock
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key with this id, None where the issuer has none."""
        age = self._clock() - self._fetched
        if (age > _FRESH_SECONDS or key_id not in self._keys) and self._clock() - self._tried > _COOLDOWN_SECONDS:
            self._tried = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
        # Whoever's key is at hand does not wait for the others'.
        if self._fetching is not None and (key_id not in self._keys or age > _LONGEST_SECONDS):
            await asyncio.shield(self._fetching)
        return self._keys.get(key_id) if self._clock() - self._fetched <= _LONGEST_SECONDS else None

    async def _fetch(self) -> None:
        try:
            found = await asyncio.to_thread(self._client.get_jwk_set)
        except Exception as error:  # whatever the issuer sent, those who asked get an answer
            log.warning("the issuer's keys cannot be fetched: %s", error)
            return
        self._keys = {key.key_id: key for key in found.keys if key.public_key_use in ("sig", None)}
        self._fetched = self._clock()
