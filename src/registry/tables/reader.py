"""Look up one version at a time, each with a connection of its own."""

from __future__ import annotations

from registry.tables.champions import champions_named, is_registered, version_numbered
from registry.tables.schema import reading_engine
from registry.versions import Champion

_BUSY_SECONDS = 5  # how long SQLite waits for a transaction of others


class TableReader:
    """Reads a store whose tables `schema.why_not` knows; raises SQLAlchemy's errors."""

    def __init__(self, uri: str) -> None:
        self._engine = reading_engine(uri, _BUSY_SECONDS)

    def champion(self, name: str) -> Champion | None:
        """The champion of a registered model; None where it has none."""
        with self._engine.connect() as connection:
            return next(iter(champions_named(connection, [name])), None)

    def version(self, name: str, number: int) -> Champion | None:
        """One version, described as a champion is; None where it is not there."""
        with self._engine.connect() as connection:
            return version_numbered(connection, name, number)

    def has(self, name: str) -> bool:
        """Whether there is a registered model of this name, with or without a champion."""
        with self._engine.connect() as connection:
            return is_registered(connection, name)
