"""What a process that serves does once, when all that it holds for good is loaded."""

from __future__ import annotations

import gc


def settle() -> None:
    """Spare the garbage collector what stays: it then neither walks the loaded packages nor every recent request.

    BentoML keeps a timer for every request until the timeout is over, answered or not: objects that survive, so that
    full collections came often and took long. Now they come every few minutes under full load. What makes no
    reference cycles is freed at once, as ever.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 50)
