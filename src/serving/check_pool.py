"""Check few champions here and many in processes of their own, which leaves this one's interpreter to its callers."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from registry.versions import Champion
from serving.checking import Checked, check

_FEW = 50
_NICENESS = 10


class CheckPool:
    """Calls `check`. The processes live as long as there is much to do, and give way to those that serve."""

    def __init__(self, uri: str, processes: int) -> None:
        self._uri = uri
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def check(self, champions: Sequence[Champion]) -> list[Checked]:
        """As `checking.check`, in parts. Raises BrokenProcessPool when a process dies; the next call has new ones."""
        if len(champions) <= _FEW:
            self.close()
            return [check(champions, self._uri)]
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, spawn, initializer=_give_way_and_end_with_parent)
        size = -(-len(champions) // (2 * self._processes))
        parts = [champions[start : start + size] for start in range(0, len(champions), size)]
        try:
            return list(self._pool.map(check, parts, [self._uri] * len(parts)))
        except BrokenProcessPool:
            self.close()
            raise

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _give_way_and_end_with_parent() -> None:
    """In a process of the pool: low priority, and no life after the one that it works for, however that ends."""
    os.nice(_NICENESS)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
