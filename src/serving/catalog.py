"""The registered models that one process holds: found by alias, kept by version, never lost to a bad one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import LRUCache, TTLCache

from forecasting.errors import ModelError
from registry.direct import DirectRegistry
from registry.errors import (
    BadArtifact,
    BadSegment,
    NoChampion,
    RegistryError,
    RegistryUnavailable,
    UnknownSegment,
    UnknownVersion,
)
from registry.names import model_name
from registry.registry import Registry, bad_artifact
from registry.store import fail_fast
from registry.versions import ModelVersion
from serving.outcomes import Code, Refused
from serving.settings import Settings

log = logging.getLogger("serving.catalog")
Model = TypeVar("Model")

_BAD_VERSION_SECONDS = 30.0  # how long a version that did not load is left alone
_LOOKUPS_KEPT = 100_000
_CODES: dict[type[RegistryError], Code] = {
    BadSegment: "unknown_segment",
    UnknownSegment: "unknown_segment",
    NoChampion: "no_champion",
    UnknownVersion: "unknown_version",
    BadArtifact: "model_unavailable",
    RegistryUnavailable: "registry_unavailable",
}


def registry_of_environment() -> Registry:
    """The registry as a serving process uses it: $MLFLOW_TRACKING_URI, quick to answer and to say that it is away."""
    fail_fast()
    return DirectRegistry()


@dataclass(frozen=True)
class Loaded(Generic[Model]):
    """A version and what was made of it."""

    version: ModelVersion
    model: Model


class Catalog(Generic[Model]):
    """Champions by segment and versions by number, loaded when first asked for.

    make: turns a version and its Prophet in JSON into what this process answers from; raises ModelError.
    capacity: models kept at a time.
    What the alias names is read again after `champion_ttl_seconds`. While the registry does not answer, and where
    a new champion does not load, the segment's last good model goes on serving. Threads may share a catalog.

    Of an error a copy is kept, and another raised: with its traceback it would be in a cycle with the frames in it,
    some 3 KB that no longer than seconds are needed, and that only a full collection of garbage would free.
    """

    def __init__(
        self, registry: Registry, settings: Settings, make: Callable[[ModelVersion, str], Model], capacity: int
    ) -> None:
        self._registry = registry
        self._make = make
        self._lock = threading.Lock()  # held for the caches alone, never while the registry is asked
        self._champions: TTLCache[str, ModelVersion | RegistryError] = TTLCache(
            _LOOKUPS_KEPT, settings.champion_ttl_seconds
        )
        self._models: LRUCache[tuple[str, int], Loaded[Model]] = LRUCache(capacity)
        self._last_good: LRUCache[str, Loaded[Model]] = LRUCache(capacity)
        self._bad: TTLCache[tuple[str, int], BadArtifact] = TTLCache(1024, _BAD_VERSION_SECONDS)

    def fresh(self, segment: str) -> Loaded[Model] | None:
        """The segment's champion where it is known and loaded, without asking anybody."""
        with self._lock:
            found = self._champions.get(segment)
            return None if not isinstance(found, ModelVersion) else self._models.get((found.name, found.version))

    def champion(self, segment: str) -> Loaded[Model]:
        """The segment's champion, or its last good one. Raises Refused."""
        try:
            loaded = self._load(self._find_champion(segment))
        except (BadArtifact, RegistryUnavailable) as error:
            with self._lock:
                last = self._last_good.get(segment)
            if last is None:
                raise _refused(error) from error
            log.warning("segment %r goes on with version %s: %s", segment, last.version.version, error)
            return last
        except RegistryError as error:
            with self._lock:
                self._last_good.pop(segment, None)
            raise _refused(error) from error
        with self._lock:
            self._last_good[segment] = loaded
        return loaded

    def version(self, segment: str, number: int) -> Loaded[Model]:
        """One version by its number; one that is loaded without asking anybody. Raises Refused."""
        try:
            with self._lock:
                loaded = self._models.get((model_name(segment), number))
            if loaded is not None:
                return loaded
            return self._load(self._registry.version(segment, number))
        except RegistryError as error:
            raise _refused(error) from error

    def _find_champion(self, segment: str) -> ModelVersion:
        with self._lock:
            found = self._champions.get(segment)
        if found is None:
            try:
                found = self._registry.champion(segment)
            except RegistryError as error:
                found = copy(error)
            with self._lock:
                self._champions[segment] = found
        if isinstance(found, RegistryError):
            raise copy(found)
        return found

    def _load(self, version: ModelVersion) -> Loaded[Model]:
        key = (version.name, version.version)
        with self._lock:
            bad, loaded = self._bad.get(key), self._models.get(key)
        if bad is not None:
            raise copy(bad)
        if loaded is None:
            loaded = self._read(version)
            with self._lock:
                self._models[key] = loaded
        return loaded

    def _read(self, version: ModelVersion) -> Loaded[Model]:
        try:
            try:
                return Loaded(version, self._make(version, self._registry.read(version)))
            except ModelError as error:
                raise bad_artifact(version, error) from error
        except BadArtifact as error:
            with self._lock:
                self._bad[version.name, version.version] = copy(error)
            log.error("refused: %s", error)
            raise


def _refused(error: RegistryError) -> Refused:
    """Say to a caller what is his to know: of our own faults only that there is one."""
    code = _CODES[type(error)]
    if code == "model_unavailable":
        return Refused(code, "this segment's model cannot be used; its owner finds the reason in the service's log")
    if code == "registry_unavailable":
        return Refused(code, "the model registry does not answer, and this segment's model is not loaded yet")
    return Refused(code, str(error))
