"""Keep the snapshot on disk true to the registry: see what changed, read that and nothing else, write, rename."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from forecasting.array_file import remove_unfinished
from forecasting.errors import ModelError
from registry.changes import Changes, Watch
from registry.errors import RegistryUnavailable
from registry.versions import Champion
from serving.board import Board, Notice
from serving.checking import Checked
from serving.snapshot import Contents, Other, Rejection, Snapshot, open_snapshot
from serving.snapshot_writer import Part, write_snapshot

log = logging.getLogger("serving.syncer")

Check = Callable[[Sequence[Champion]], Sequence[Checked]]

REGISTRY_AWAY = "the model registry does not answer: loaded models go on serving, promotions wait"

_AT_ONCE = 500  # champions that are described, read and checked before the clock is looked at
_READ_SECONDS = 2.0  # after which what was read is written, however much is waiting,
_READ_WRITES = 10.0  # or so many times as long as the last snapshot took to write, whichever is longer
_RETRY_SECONDS = 60.0  # until a rejected champion is tried again: its store may have been away
_RETRIES = 100  # of them at once
_LONGEST_REST = 5.0  # seconds, while nothing works
_BREATH = 0.05  # seconds between two steps while champions wait
_DUTY = 20.0  # times as long as a look took, to rest after one that changed nothing,
_LONGEST_PAUSE = 2.0  # but no more seconds than this: the first look, at all champions, may take some itself


@dataclass(eq=False)
class _News:
    """What was looked at since the last snapshot, and what came of it."""

    looked: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    others: dict[str, Other] = field(default_factory=dict)
    rejected: dict[str, Rejection] = field(default_factory=dict)

    def add(self, looked: list[str], found: Sequence[Checked]) -> None:
        self.looked += looked
        for checked in found:
            self.parts.append(checked.part)
            self.others |= checked.others
            self.rejected |= checked.rejected

    @property
    def rows(self) -> set[str]:
        return {row.mark.segment for part in self.parts for row in part.rows}


class Syncer:
    """Follows the champions of one registry. For one thread, and for one process of a host at a time: see Board.

    open_watch may raise RegistryUnavailable; check: reads champions, in this process or elsewhere; source: the
    registry, as it may be shown.
    """

    def __init__(
        self, path: Path, open_watch: Callable[[], Watch], check: Check, board: Board, source: str, poll_seconds: float
    ) -> None:
        self._path = path
        self._open_watch = open_watch
        self._check = check
        self._board = board
        self._source = source
        self._poll_seconds = poll_seconds
        self._watch: Watch | None = None
        with contextlib.suppress(OSError):  # a folder that cannot be written to shows soon enough
            remove_unfinished(path)
        self._snapshot = self._last_snapshot()
        self._waiting: dict[str, None] = {}  # segments to look at, those that changed last at the end
        self._retry_at: dict[str, float] = {}
        self._write_seconds = 0.0
        self._failures = 0  # in a row

    def step(self) -> float:
        """Look once, bring the snapshot a step nearer to the registry, and say how many seconds to rest.

        Nothing is raised: whatever fails is told on the board and tried again, and the snapshot stays as it was.
        """
        began = time.monotonic()
        wrote = self._follow(lambda watch: watch.changes())
        return self._rest(time.monotonic() - began, wrote)

    def look_at(self, segments: Sequence[str]) -> None:
        """The same for some segments alone, out of turn, because somebody says that their champions have changed."""
        if self._watch is not None:  # else the next step names all champions
            self._follow(lambda watch: watch.look_at(segments))

    def _follow(self, look: Callable[[Watch], Changes | None]) -> bool:
        notice = self._board.read()
        try:
            wrote = self._advance(look)
            notice = Notice(checked_at=_now(), errors=notice.errors, waiting=len(self._waiting))
            self._failures = 0
        except Exception as error:
            self._failures += 1
            fault = _in_words(error)
            if self._failures == 1 or fault != notice.fault:
                log.warning("the catalog does not follow the registry: %s", error, exc_info=not _is_planned(error))
            notice = notice.model_copy(update={"fault": fault, "errors": notice.errors + 1})
            wrote = False
            self._forget_watch()
        self._board.write(notice)
        return wrote

    def _advance(self, look: Callable[[Watch], Changes | None]) -> bool:
        """Follow the registry a step; whether that took a new snapshot."""
        if self._watch is None:
            self._watch = self._open_watch()
        changes = look(self._watch)
        if changes is not None:
            self._note(changes)
        news = self._read(self._watch)
        before = None if self._snapshot is None else self._snapshot.contents
        if before is None or self._differs(news, before) or before.complete != self._is_complete(news):
            self._write(news)
            wrote = True
        else:
            wrote = False
        for segment in news.looked:
            self._waiting.pop(segment, None)
        self._retry_at |= dict.fromkeys(news.rejected, time.monotonic() + _RETRY_SECONDS)
        return wrote

    def _note(self, changes: Changes) -> None:
        """Let the segments that changed wait, the last of them to be read first."""
        segments = [mark.segment for mark in changes.named]
        if changes.whole:
            self._refuse_an_emptied_registry(changes)
            held = {} if self._snapshot is None else {mark.segment: mark for mark in self._snapshot.marks()}
            segments = sorted(mark.segment for mark in changes.named if held.pop(mark.segment, None) != mark)
            segments += held
        for segment in segments:
            self._waiting.pop(segment, None)
        self._waiting |= dict.fromkeys([*segments, *changes.gone])

    def _refuse_an_emptied_registry(self, changes: Changes) -> None:
        """MLflow makes an empty store where it finds none: that must not cost a host its catalog. Raises _Emptied."""
        if changes.named or self._snapshot is None or not (len(self._snapshot) or self._snapshot.contents.others):
            return
        raise _Emptied(f"{self._source} has no champions at all, and {self._path} has: remove it if that is meant")

    def _read(self, watch: Watch) -> _News:
        """Look at what waits, and at rejected champions whose time has come, for as long as it is wise to."""
        news, until = _News(), time.monotonic() + max(_READ_SECONDS, _READ_WRITES * self._write_seconds)
        for segments in self._queue():
            news.add(segments, self._check(watch.describe(segments)))
            if time.monotonic() > until:
                break
        return news

    def _queue(self) -> Iterator[list[str]]:
        rejected = {} if self._snapshot is None else self._snapshot.contents.rejected
        now = time.monotonic()
        due = [one for one in rejected if self._retry_at.get(one, 0.0) <= now and one not in self._waiting]
        segments = [*reversed(self._waiting), *due[:_RETRIES]]
        return (segments[start : start + _AT_ONCE] for start in range(0, len(segments), _AT_ONCE))

    def _differs(self, news: _News, before: Contents) -> bool:
        """Whether the news say anything that the snapshot does not: a champion that is rejected again does not."""
        assert self._snapshot is not None
        if news.rows or any(before.others.get(segment) != other for segment, other in news.others.items()):
            return True
        known = before.rejected
        if any(segment not in known or not known[segment].says(one) for segment, one in news.rejected.items()):
            return True
        settled = set(news.looked) - news.rejected.keys()
        return any(
            segment in known or (segment not in news.others and self._holds(segment, before)) for segment in settled
        )

    def _holds(self, segment: str, contents: Contents) -> bool:
        assert self._snapshot is not None
        return segment in contents.others or self._snapshot.find(segment) is not None

    def _is_complete(self, news: _News) -> bool:
        """Whether every champion was looked at, now or before."""
        if self._snapshot is not None and self._snapshot.contents.complete:
            return True
        return self._waiting.keys() <= set(news.looked)

    def _write(self, news: _News) -> None:
        began = time.monotonic()
        before = Contents("", self._source) if self._snapshot is None else self._snapshot.contents
        rows = news.rows
        gone = set(news.looked) - rows - news.others.keys() - news.rejected.keys()
        others = {segment: one for segment, one in before.others.items() if segment not in rows | gone}
        settled = rows | gone | news.others.keys()
        rejected = {segment: one for segment, one in before.rejected.items() if segment not in settled}
        contents = Contents(
            _now(), self._source, others | news.others, rejected | news.rejected, self._is_complete(news)
        )
        dropped = gone | news.others.keys()
        write_snapshot(self._path, contents, news.parts, previous=self._snapshot, dropped=dropped)
        self._snapshot = open_snapshot(self._path)
        self._write_seconds = time.monotonic() - began
        for segment, one in news.rejected.items():
            log.error("refused, and the last good version goes on: %s (segment %r)", one.reason, segment)
        log.info("catalog of %d segments written", len(self._snapshot))

    def _last_snapshot(self) -> Snapshot | None:
        """What an earlier process left, if it is whole and of this registry."""
        try:
            snapshot = open_snapshot(self._path, verify=True)
        except FileNotFoundError:
            return None
        except (ModelError, OSError) as error:
            log.warning("the catalog is made anew: %s", error)
            return None
        return snapshot if snapshot.contents.source == self._source else None

    def _forget_watch(self) -> None:
        """Begin anew at the next step: with a connection of its own, and all champions named."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _rest(self, took: float, wrote: bool) -> float:
        if self._failures:
            return min(self._poll_seconds * 2.0**self._failures, _LONGEST_REST)
        if self._waiting:
            return _BREATH
        return max(self._poll_seconds, took if wrote else min(_DUTY * took, _LONGEST_PAUSE))


class _Emptied(Exception):
    """A registry is read for the first time, and has lost all that an earlier process found in it."""


def _is_planned(error: Exception) -> bool:
    return isinstance(error, RegistryUnavailable | OSError | _Emptied)


def _in_words(error: Exception) -> str:
    """What the operator should know of a failure, without names of segments."""
    if isinstance(error, RegistryUnavailable):
        return REGISTRY_AWAY
    if isinstance(error, _Emptied):
        return "the model registry has no champions any more: the last catalog goes on, and the service's log says more"
    if isinstance(error, OSError):
        return f"the catalog's snapshot cannot be written: {error.strerror or error}"
    return "the catalog does not follow the registry: the service's log says why"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
