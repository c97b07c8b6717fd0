"""What is served and what was refused, page by page in the order of segments, straight from one snapshot.

A page costs what it holds, not what the catalog does: rows stand in that order, and a caller's globs name ranges.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge

import orjson

from registry.names import model_name
from serving.access import Caller
from serving.outcomes import Refused
from serving.schemas import RejectedVersion, ServedModel
from serving.snapshot import Snapshot

_LOOKED_AT_ONCE = 256  # segments, before others get their turn
_TOKEN = b"after:"  # tells our tokens from MLflow's

Place = tuple[str, int | None]  # a segment, and its row if it has one


@dataclass(frozen=True)
class Page:
    """Some ServedModels in JSON, and the token of the next page, None after the last."""

    models: list[bytes]
    next_page_token: str | None

    def as_json(self) -> bytes:
        """A ServedModels."""
        token = orjson.dumps(self.next_page_token)
        return b'{"models":[' + b",".join(self.models) + b'],"next_page_token":' + token + b"}"


class Listing:
    """The segments of a snapshot: those with rows, those that only Prophet predicts, and those that were rejected."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._contents = snapshot.contents
        named = {*self._contents.others, *self._contents.rejected}
        self._rowless = sorted(segment for segment in named if snapshot.find(segment) is None)
        self._rejected = sorted(self._contents.rejected)

    async def page(self, limit: int, page_token: str | None, caller: Caller, *, rejected: bool) -> Page:
        """The next segments that the caller may read; rejected: only those whose champion was.

        Reads on until the page is full. No token names a segment that its caller may not read. Raises Refused.
        """
        models: list[bytes] = []
        last = None
        places = self._places(caller, None if page_token is None else _segment_in(page_token), rejected=rejected)
        for looked, (segment, row) in enumerate(places, 1):
            if looked % _LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if not caller.may_read(segment):
                continue
            if len(models) == limit:
                return Page(models, _token_after(last))
            models.append(self._described(segment, row, caller))
            last = segment
        return Page(models, None)

    def one(self, segment: str, caller: Caller) -> bytes | None:
        """One segment's ServedModel in JSON, None where the snapshot knows none."""
        row = self._snapshot.find(segment)
        if row is None and segment not in self._contents.others and segment not in self._contents.rejected:
            return None
        return self._described(segment, row, caller)

    def _places(self, caller: Caller, after: str | None, *, rejected: bool) -> Iterator[Place]:
        """What comes after a segment and starts as the caller's own do, ascending."""
        for prefix in caller.prefixes:
            if after is not None and prefix < after and not after.startswith(prefix):
                continue  # was on the pages before
            first = prefix if after is None or prefix > after else after
            if rejected:
                found = self._named(self._rejected, first, prefix)
                yield from ((segment, self._snapshot.find(segment)) for segment in found if segment != after)
                continue
            rowless = ((segment, None) for segment in self._named(self._rowless, first, prefix))
            yield from (place for place in merge(self._rows(first, prefix), rowless) if place[0] != after)

    def _rows(self, first: str, prefix: str) -> Iterator[Place]:
        for row in range(self._snapshot.at_or_after(first), len(self._snapshot)):
            segment = self._snapshot.segment(row)
            if not segment.startswith(prefix):
                return
            yield segment, row

    @staticmethod
    def _named(segments: list[str], first: str, prefix: str) -> Iterator[str]:
        for place in range(bisect_left(segments, first), len(segments)):
            if not segments[place].startswith(prefix):
                return
            yield segments[place]

    def _described(self, segment: str, row: int | None, caller: Caller) -> bytes:
        rejection = self._contents.rejected.get(segment)
        if rejection is None and row is not None:
            return self._snapshot.served_json(row)
        if row is not None:
            served = self._snapshot.served(row)
        elif (other := self._contents.others.get(segment)) is not None:
            served = other.served
        else:
            served = _nothing(segment)
        if rejection is not None:
            # Reasons speak of files and stores, which is for those who run the service.
            reason = rejection.reason if caller.metrics else None
            refused = RejectedVersion(version=rejection.version, reason=reason, at=rejection.at)
            served = served.model_copy(update={"rejected": refused})
        return served.model_dump_json().encode()


def _nothing(segment: str) -> ServedModel:
    """What is served where no champion could be used so far."""
    return ServedModel(
        model_id=segment,
        name=model_name(segment),
        version=None,
        run_id=None,
        created_at=None,
        trained_through=None,
        freq=None,
        solver=None,
        metrics={},
    )


def _token_after(segment: str | None) -> str | None:
    return None if segment is None else base64.urlsafe_b64encode(_TOKEN + segment.encode()).decode()


def _segment_in(token: str) -> str:
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True)
        if text.startswith(_TOKEN):
            return text.removeprefix(_TOKEN).decode()
    except (binascii.Error, ValueError):
        pass
    raise Refused("invalid_request", "page_token is not one that the page before gave")
