"""The lock that makes one process of a host the syncer, and the notice that it leaves there for all of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

_BYTES = 4096  # kept by the file from its first moment, so that a full disk cannot keep a notice from being written


class Notice(BaseModel):
    """What the syncer last said. Times are UTC, ISO 8601.

    checked_at: when the registry last told what its champions are. fault: what keeps the catalog from following it, in
    words for the operator. errors: how often that failed, ever. waiting: champions seen and not yet read.
    """

    model_config = ConfigDict(frozen=True)

    checked_at: str | None = None
    fault: str | None = None
    errors: int = 0
    waiting: int = 0


class Board:
    """One small file: locked by the syncer as long as it lives, read by everybody. Raises OSError if it has no room."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._file).st_size < _BYTES:
            os.posix_fallocate(self._file, 0, _BYTES)
        self._last = Notice()
        self.is_mine = False

    def acquire(self) -> bool:
        """Become the syncer if nobody is; the lock ends with the process, however that ends."""
        if not self.is_mine:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.is_mine = True
            except BlockingIOError:
                return False
        return True

    def close(self) -> None:
        """Let another be the syncer."""
        os.close(self._file)
        self.is_mine = False

    def read(self) -> Notice:
        """The last notice; the one before it where that is being overwritten."""
        with contextlib.suppress(ValidationError, OSError):
            self._last = Notice.model_validate_json(os.pread(self._file, _BYTES, 0).rstrip(b"\0 "))
        return self._last

    def write(self, notice: Notice) -> None:
        """Leave a notice. fault is cut to what there is room for."""
        fault = None if notice.fault is None else notice.fault[:1000]
        text = notice.model_copy(update={"fault": fault}).model_dump_json().encode()
        os.pwrite(self._file, text[:_BYTES].ljust(_BYTES), 0)
