"""Rate limits: a token bucket for each caller, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable

from cachetools import LRUCache

_BUCKETS = 100_000  # those of the callers longest silent are forgotten first, and are full by then


class RateLimiter:
    """Counts what each caller takes of his rate.

    A bucket holds one second's worth, at least one. Whoever has a whole token left is served, whatever his request
    costs; a batch that costs more leaves a debt, which has to be paid off before the next.
    clock: seconds from any start, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(_BUCKETS)

    def take(self, who: str, rate: float) -> float:
        """Take one token of `rate` a second. Gives the seconds to wait where there is none, else 0."""
        balance = self._balance(who, rate)
        if balance < 1:
            return (1 - balance) / rate
        self._buckets[who] = balance - 1, self._clock()
        return 0.0

    def charge(self, who: str, rate: float, cost: int) -> None:
        """Take `cost` more for a request that was let in already."""
        self._buckets[who] = self._balance(who, rate) - cost, self._clock()

    def _balance(self, who: str, rate: float) -> float:
        most = max(1.0, rate)
        balance, since = self._buckets.get(who, (most, self._clock()))
        return min(most, balance + (self._clock() - since) * rate)
