"""Wait for conditions, never for time; tell figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest

PATIENCE = 60.0  # seconds, on a machine that has other things to do


def until(
    true: Callable[[], bool], what: Callable[[], str] | str = "what was to come", seconds: float = PATIENCE
) -> float:
    """Ask until it is so, and say how many seconds that took; fails with what was waited for."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > seconds:
            pytest.fail(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.02)
    return time.monotonic() - began


def say(figures: str) -> None:
    """For those who run pytest with -s, as `make proof` does."""
    sys.stdout.write(f"\n{figures}")
