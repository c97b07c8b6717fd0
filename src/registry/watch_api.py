"""Follow the champions through MLflow's API: round after round over all pages, and the newest versions in between.

A page names the champions of a thousand registered models; the rounds are the truth, as slow as they are. Whoever
promotes mostly registers a version first, so the champions of segments with a new version are looked at for a while.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlflow.entities.model_registry import RegisteredModel

from registry.changes import Changes, segment_named
from registry.errors import UnknownSegment, UnknownVersion
from registry.names import PREFIX
from registry.registry import CHAMPION, Registry
from registry.versions import Champion, Mark

_PAGE = 1000  # registered models
_NEWEST = 100  # versions
_LOOKS = 60  # at a segment with a new version, until its champion moves; later the round will tell
_DOUBTS = 100  # segments that a round did not meet and that are asked for one by one


class ApiWatch:
    """A watch.Watch on whatever MLflow's client reaches."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, Mark] = {}
        self._changed: dict[str, Mark | None] = {}  # what was not told yet; None: no champion any more
        self._met: set[str] = set()  # in this round
        self._token: str | None = None
        self._whole = False  # whether a round was completed
        self._in_pages = False  # whether a round takes more than one page
        self._newest = 0  # when the newest version was made, in milliseconds
        self._looks: dict[str, int] = {}  # that are left, by segment

    def changes(self) -> Changes | None:
        if not self._whole:
            while not self._whole:
                self._turn_page()
            self._changed.clear()
            return Changes(list(self._known.values()), whole=True)
        self._turn_page()
        if self._in_pages:
            self._look_at_newest()
        return self._told()

    def look_at(self, segments: Sequence[str]) -> Changes | None:
        for segment in segments:
            self._note(segment, self._ask(segment))
        return self._told()

    def describe(self, segments: Sequence[str]) -> list[Champion]:
        return [champion for segment in segments if (champion := self._describe(segment))]

    def close(self) -> None:
        """Nothing is held."""

    def _told(self) -> Changes | None:
        changed, self._changed = self._changed, {}
        named = [mark for mark in changed.values() if mark is not None]
        return Changes(named, [segment for segment, mark in changed.items() if mark is None]) if changed else None

    def _describe(self, segment: str) -> Champion | None:
        mark = self._ask(segment)
        if mark is None:
            return None
        try:
            version = self._registry.version(segment, mark.version)
        except (UnknownSegment, UnknownVersion):
            return None
        return Champion(mark, version, self._registry.location(version))

    def _ask(self, segment: str) -> Mark | None:
        try:
            return _mark(segment, self._registry.registered(segment))
        except UnknownSegment:
            return None

    def _turn_page(self) -> None:
        """Read the next page of the round; after its last one, look for what the round has not met."""
        with self._registry.asking():
            page = self._registry.client.search_registered_models(
                f"name LIKE '{PREFIX}%'", max_results=_PAGE, order_by=["name ASC"], page_token=self._token
            )
        for model in page:
            segment = segment_named(model.name)
            if segment is not None:
                self._met.add(segment)
                self._note(segment, _mark(segment, model))
        if page.token:
            self._token, self._in_pages = page.token, True
            return
        # MLflow counts pages from the first model: while models are deleted, one may slip from page to page unmet.
        for segment in sorted(self._known.keys() - self._met)[:_DOUBTS]:
            self._note(segment, self._ask(segment))
        self._in_pages = self._token is not None
        self._token, self._whole = None, True
        self._met.clear()

    def _look_at_newest(self) -> None:
        """Look at segments with new versions, as often as it may take until one of them is the champion."""
        with self._registry.asking():
            newest = self._registry.client.search_model_versions(
                f"name LIKE '{PREFIX}%'", max_results=_NEWEST, order_by=["creation_timestamp DESC"]
            )
        for version in newest:
            segment = segment_named(version.name)
            if segment is not None and version.creation_timestamp > self._newest:
                self._looks[segment] = _LOOKS
        self._newest = max([self._newest, *(version.creation_timestamp for version in newest)])
        for segment in list(self._looks):
            before = self._known.get(segment)
            self._note(segment, self._ask(segment))
            self._looks[segment] -= 1
            if self._known.get(segment) != before or self._looks[segment] == 0:
                del self._looks[segment]

    def _note(self, segment: str, mark: Mark | None) -> None:
        if self._known.get(segment) == mark:
            return
        self._changed[segment] = mark
        if mark is None:
            del self._known[segment]
        else:
            self._known[segment] = mark


def _mark(segment: str, model: RegisteredModel) -> Mark | None:
    number = model.aliases.get(CHAMPION)
    return None if number is None else Mark(segment, int(number), int(model.creation_timestamp))
