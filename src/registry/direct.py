"""Look up one version at a time as a service does that may be asked for anything: without MLflow where that can be.

Importing MLflow takes seconds of processor time and 110 MB of each process, and a segment that nobody registered would
be enough to make a worker do it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.names import model_name
from registry.registry import NotThere, Registry, unknown
from registry.store import DATABASE_SCHEMES
from registry.versions import ModelVersion

if TYPE_CHECKING:
    from registry.tables.reader import TableReader
    from registry.versions import Champion


class DirectRegistry(Registry):
    """A registry whose single versions are read from its tables, where `schema.why_not` knows those; else by MLflow."""

    def _champion_of(self, name: str) -> ModelVersion:
        tables = self._tables()
        return super()._champion_of(name) if tables is None else _found(tables.champion(name)).version

    def _version_of(self, name: str, number: int) -> ModelVersion:
        tables = self._tables()
        return super()._version_of(name, number) if tables is None else _found(tables.version(name, number)).version

    def _location_of(self, name: str, number: int) -> str:
        tables = self._tables()
        return super()._location_of(name, number) if tables is None else _found(tables.version(name, number)).location

    def _look_for(self, segment: str) -> None:
        with self.asking():
            tables = self._tables()
            if tables is None:
                super()._look_for(segment)
            elif not tables.has(model_name(segment)):
                raise unknown(segment)

    def _tables(self) -> TableReader | None:
        """What reads the tables; None where they are not within reach, not known, or not made yet."""
        if not self.uri.startswith(DATABASE_SCHEMES):
            return None
        from registry.tables.reader import TableReader  # SQLAlchemy with it, which few workers need
        from registry.tables.schema import why_not

        return TableReader(self.uri) if why_not(self.uri) is None else None


def _found(one: Champion | None) -> Champion:
    if one is None:
        raise NotThere
    return one
