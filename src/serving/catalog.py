"""The registered models that one runner process holds: found by alias, kept by version, never lost to a bad one."""

from __future__ import annotations

import logging

from cachetools import LRUCache, TTLCache

from registry.errors import (
    BadArtifact,
    BadSegment,
    NoChampion,
    RegistryError,
    RegistryUnavailable,
    UnknownSegment,
    UnknownVersion,
)
from registry.registry import Registry
from registry.store import fail_fast
from registry.versions import ModelVersion
from serving.model import ServingModel
from serving.outcomes import Code, Refused
from serving.settings import Settings

log = logging.getLogger("serving.catalog")

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


def open_registry() -> Registry:
    """The registry as a serving process uses it: $MLFLOW_TRACKING_URI, and quick to say that it is away.

    Opening takes MLflow a second or two, which the first caller should not wait for; a registry that is away
    now is asked again when it is needed.
    """
    fail_fast()
    registry = Registry()
    try:
        registry.ping()
    except RegistryUnavailable as error:
        log.warning("%s", error)
    return registry


class Catalog:
    """Champions by segment and versions by number, loaded when first asked for.

    What the alias names is read again after `champion_ttl_seconds`. While the registry does not answer, and where
    a new champion does not load, the segment's last good model goes on serving.
    """

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._champions: TTLCache[str, ModelVersion | RegistryError] = TTLCache(
            _LOOKUPS_KEPT, settings.champion_ttl_seconds
        )
        self._models: LRUCache[tuple[str, int], ServingModel] = LRUCache(settings.models_cached)
        self._last_good: LRUCache[str, ServingModel] = LRUCache(settings.models_cached)
        self._bad: TTLCache[tuple[str, int], BadArtifact] = TTLCache(1024, _BAD_VERSION_SECONDS)

    def champion(self, segment: str) -> ServingModel:
        """The segment's champion, or its last good one. Raises Refused."""
        try:
            model = self._load(self._find_champion(segment))
        except (BadArtifact, RegistryUnavailable) as error:
            last = self._last_good.get(segment)
            if last is None:
                raise _refused(error) from error
            log.warning("segment %r goes on with version %s: %s", segment, last.info.version, error)
            return last
        except RegistryError as error:
            self._last_good.pop(segment, None)
            raise _refused(error) from error
        self._last_good[segment] = model
        return model

    def version(self, segment: str, number: int) -> ServingModel:
        """One version by its number. Raises Refused."""
        try:
            return self._load(self._registry.version(segment, number))
        except RegistryError as error:
            raise _refused(error) from error

    def _find_champion(self, segment: str) -> ModelVersion:
        found = self._champions.get(segment)
        if found is None:
            try:
                found = self._registry.champion(segment)
            except RegistryError as error:
                found = error
            self._champions[segment] = found
        if isinstance(found, RegistryError):
            raise found
        return found

    def _load(self, version: ModelVersion) -> ServingModel:
        key = (version.name, version.version)
        if key in self._bad:
            raise self._bad[key]
        model = self._models.get(key)
        if model is None:
            try:
                model = ServingModel.registered(version, self._registry.load(version))
            except BadArtifact as error:
                self._bad[key] = error
                log.error("refused: %s", error)
                raise
            self._models[key] = model
        return model


def _refused(error: RegistryError) -> Refused:
    """Say to a caller what is his to know: of our own faults only that there is one."""
    code = _CODES[type(error)]
    if code == "model_unavailable":
        return Refused(code, "this segment's model cannot be used; its owner finds the reason in the service's log")
    if code == "registry_unavailable":
        return Refused(code, "the model registry does not answer, and this segment's model is not loaded yet")
    return Refused(code, str(error))
