"""Look up the champions of hundreds of segments: by one query where the store's tables can be read, else one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from registry.api_writer import writing
from registry.errors import BadSegment, NoChampion, UnknownSegment
from registry.names import model_name
from registry.registry import Registry
from registry.store import quiet_mlflow
from registry.tables.champions import champions_named
from registry.tables.schema import is_direct, reading_engine, schema_of, why_not
from registry.versions import ModelVersion

Lookup = Callable[[Sequence[str]], dict[str, ModelVersion]]

_NAMES = 500  # in a query
_ASKING = 8  # questions at once to a server that answers one at a time


def open_lookup(registry: Registry) -> Lookup:
    """Open the fastest way to ask which versions serve some segments; those that have no champion are left out.

    A store that is not made yet is not made by this. Raises RegistryUnavailable when the store does not answer, and so
    does what is given.
    """
    if is_direct(registry.uri) and schema_of(registry.uri) is None:
        return lambda _: {}
    return _by_api(registry) if why_not(registry.uri) else _by_query(registry)


def _by_query(registry: Registry) -> Lookup:
    engine = reading_engine(registry.uri)

    def look_up(segments: Sequence[str]) -> dict[str, ModelVersion]:
        names = []
        for segment in segments:
            with suppress(BadSegment):  # no registry has it
                names.append(model_name(segment))
        found: list[ModelVersion] = []
        with writing(), engine.connect() as connection:
            for start in range(0, len(names), _NAMES):
                found += [one.version for one in champions_named(connection, names[start : start + _NAMES])]
        return {version.segment: version for version in found}

    return look_up


def _by_api(registry: Registry) -> Lookup:
    registry.ping()  # opens the client before threads share it

    def champion(segment: str) -> ModelVersion | None:
        try:
            return registry.champion(segment)
        except (BadSegment, NoChampion, UnknownSegment):
            return None

    def look_up(segments: Sequence[str]) -> dict[str, ModelVersion]:
        with quiet_mlflow(), ThreadPoolExecutor(_ASKING) as pool:
            found = list(pool.map(champion, segments))
        return {version.segment: version for version in found if version is not None}

    return look_up
