"""Segments that are worth a look, left in a small file by any process of a host for the one that is the syncer."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_MOST_BYTES = 128 * 1024  # some thousands of segments; beyond it the rounds over all champions are as fast


class Hints:
    """One file of JSON strings, a line each. Raises OSError if there is no room for it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()  # a lock on the file is not between threads

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    @property
    def waiting(self) -> bool:
        """Whether there is any; costs a microsecond."""
        return os.fstat(self._file).st_size > 0

    def add(self, segment: str) -> bool:
        """Leave a hint; False where too many are waiting already."""
        line = json.dumps(segment).encode() + b"\n"
        with self._locked():
            if os.fstat(self._file).st_size + len(line) > _MOST_BYTES:
                return False
            if os.write(self._file, line) < len(line):  # a disk that is full takes the half of it
                os.ftruncate(self._file, 0)
                raise OSError("no room for a hint")
        return True

    def take(self, most: int) -> list[str]:
        """The oldest hints, each segment once, which then are gone from the file."""
        with self._locked():
            lines = list(dict.fromkeys(os.pread(self._file, _MOST_BYTES, 0).splitlines()))
            os.ftruncate(self._file, 0)
            with contextlib.suppress(OSError):  # hints may get lost
                os.write(self._file, b"".join(line + b"\n" for line in lines[most:]))
        found = []
        for line in lines[:most]:
            with contextlib.suppress(ValueError):
                found.append(str(json.loads(line)))
        return found

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
