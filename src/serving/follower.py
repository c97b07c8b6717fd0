"""What a process knows of its host's catalog: it maps each new snapshot, and is the syncer when nobody else is."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from pathlib import Path

from forecasting.errors import ModelError
from registry.registry import Registry
from registry.store import own_folder, without_password
from serving.board import Board, Notice
from serving.champions import Champions
from serving.check_pool import CheckPool
from serving.hints import Hints
from serving.settings import Settings
from serving.snapshot import MAGIC, open_snapshot
from serving.syncer import Syncer

log = logging.getLogger("serving.follower")

AUTO = "auto"
_LOOK_SECONDS = 0.2  # between two looks at the file and at the lock
_HINTS = 50  # that the syncer follows at such a look: a question each


class Follower:
    """The catalog of one registry, as this host has it on disk; `start` begins to follow it, in a thread.

    champions: those of the newest snapshot, mapped. Who takes them once has one catalog for as long as he holds it.
    """

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="catalog", daemon=True)
        self._identity: tuple[int, ...] | None = None
        self._path: Path | None = None
        self._board: Board | None = None
        self._hints: Hints | None = None
        self._pool = CheckPool(registry.uri, settings.check_processes)
        self._syncer: Syncer | None = None
        self._next_step = 0.0
        self._fault: str | None = None
        self.champions: Champions | None = None

    def start(self) -> None:
        """Map what is there already, and follow it from now on."""
        self._tick(look_only=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following, and let another process be the syncer."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.close()
        if self._board is not None:
            self._board.close()
            self._board = None
        if self._hints is not None:
            hints, self._hints = self._hints, None
            hints.close()

    def hint(self, segment: str) -> bool:
        """Let this host's syncer look at a segment soon; False where it has too many to look at. Raises OSError."""
        return self._hints is None or self._hints.add(segment)

    @property
    def follows(self) -> bool:
        """Whether somebody on this host keeps a catalog that this process can read."""
        return self._board is not None and self._fault is None

    @property
    def notice(self) -> Notice:
        """What is to be said of the catalog: by the syncer, or by this process if it cannot so much as look."""
        said = Notice() if self._board is None else self._board.read()
        return said if self._fault is None else said.model_copy(update={"fault": self._fault})

    def _follow(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self._tick()

    def _tick(self, *, look_only: bool = False) -> None:
        """Look for a new snapshot, and make one if that is ours to do. Failures are told, and tried again."""
        try:
            self._open()
            self._refresh()
            if not look_only:
                self._sync()
            self._fault = None
        except Exception as error:
            fault = f"the catalog's folder cannot be used: {error}" if isinstance(error, OSError) else str(error)
            if fault != self._fault:
                log.warning("%s", fault, exc_info=not isinstance(error, OSError | ModelError))
            self._fault = fault

    def _open(self) -> None:
        if self._board is None:
            self._path = _file_in(_folder(self._settings.snapshot_dir), self._registry.uri)
            self._hints = self._hints or Hints(self._path.with_suffix(".hints"))
            self._board = Board(self._path.with_suffix(".lock"))

    def _refresh(self) -> None:
        """Map the snapshot if another one has taken its place."""
        assert self._path is not None
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return  # what is mapped already stays
        identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if identity != self._identity:
            self._identity = identity
            self.champions = Champions.of(open_snapshot(self._path, verify=self.champions is None))

    def _sync(self) -> None:
        assert self._path is not None
        assert self._board is not None
        assert self._hints is not None
        hinted, due = self._hints.waiting, time.monotonic() >= self._next_step
        if not (hinted or due) or not self._board.acquire():
            return
        if self._syncer is None:
            from registry.watch import open_watch  # SQLAlchemy with it, which only the syncer needs

            log.info("this process keeps the catalog of its host: %s", self._path)
            self._syncer = Syncer(
                self._path,
                lambda: open_watch(self._registry),
                self._pool.check,
                self._board,
                without_password(self._registry.uri),
                self._settings.poll_seconds,
            )
        if due:
            self._next_step = self._syncer.step() + time.monotonic()
        if hinted:
            self._syncer.look_at(self._hints.take(_HINTS))
        self._refresh()


def _folder(wanted: str) -> Path:
    """The folder for snapshots, made where it is not there. Raises OSError where it cannot be made, or trusted."""
    if wanted == AUTO:
        try:
            return own_folder()
        except OSError as error:
            raise PermissionError(f"{error}: set FORECAST_SNAPSHOT_DIR") from error
    path = Path(wanted)
    path.mkdir(parents=True, exist_ok=True)
    return path


def _file_in(folder: Path, uri: str) -> Path:
    """A file for each registry and layout: services of two registries, or two releases, may share a folder."""
    where = f"{uri} {Path.cwd()}" if uri.startswith("sqlite") else uri  # whose path may be a relative one
    key = hashlib.sha256(MAGIC + where.encode()).hexdigest()[:16]
    return folder / f"catalog-{key}.snapshot"
