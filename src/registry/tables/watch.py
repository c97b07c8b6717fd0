"""Follow the champions in MLflow's own tables, in SQLite or PostgreSQL: one aggregate tells all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from registry.changes import Changes, segment_named
from registry.names import PREFIX, model_name
from registry.registry import CHAMPION
from registry.store import unavailable
from registry.tables.champions import champions_named
from registry.tables.columns import ALIASES, MODELS, WORKSPACE
from registry.tables.schema import reading_engine
from registry.versions import Champion, Mark

_BETWEEN, _WITHIN = "\x1e", "\x1f"  # what separates lines and their fields; a name that holds one is passed over
_BUSY_SECONDS = 20  # how long SQLite waits for a transaction of others

_LINE = (
    sa.cast(MODELS.c.creation_time, sa.Text)
    + sa.literal(_WITHIN)
    + sa.cast(ALIASES.c.version, sa.Text)
    + sa.literal(_WITHIN)
    + ALIASES.c.name
)


class TableWatch:
    """A watch.Watch on a database whose tables `schema.why_not` knows.

    Nothing is asked of an unchanged SQLite but its data_version, which takes microseconds; PostgreSQL is asked for a
    sum of hashes. A change costs one more pass over the aliases, which gives all champions as one text.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        # Reading alone needs no transaction, and an open one would be in the way of others.
        self._engine = reading_engine(uri, _BUSY_SECONDS).execution_options(isolation_level="AUTOCOMMIT")
        self._file = Path(self._engine.url.database or "") if uri.startswith("sqlite") else None
        self._connection: sa.Connection | None = None
        self._state: tuple[object, ...] | None = None
        self._lines: frozenset[str] | None = None

    def changes(self) -> Changes | None:
        with self._asking() as connection:
            state = self._present_state(connection)
            if state == self._state:
                return None
            text: str = connection.execute(_over_champions(sa.func.aggregate_strings(_LINE, _BETWEEN))).scalar() or ""
        before, lines = self._lines, frozenset(text.split(_BETWEEN)) - {""}
        self._state, self._lines = state, lines
        if lines == before:
            return None
        named = [mark for line in lines - (before or frozenset()) if (mark := _mark(line))]
        if before is None:
            return Changes(named, whole=True)
        present = {mark.segment for mark in named}
        gone = {mark.segment for line in before - lines if (mark := _mark(line))}
        return Changes(named, sorted(gone - present))

    def look_at(self, segments: Sequence[str]) -> Changes | None:  # noqa: ARG002
        return None

    def describe(self, segments: Sequence[str]) -> list[Champion]:
        with self._asking() as connection:
            return champions_named(connection, [model_name(segment) for segment in segments])

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
        self._connection, self._state = None, None

    def _present_state(self, connection: sa.Connection) -> tuple[object, ...]:
        """What is equal as long as no champion changed; it may also differ where none did."""
        if self._file is not None:
            return self._identity(), connection.exec_driver_sql("PRAGMA data_version").scalar()
        hashed = sa.func.sum(sa.cast(sa.func.hashtextextended(_LINE, 0), sa.Numeric))
        return tuple(connection.execute(_over_champions(sa.func.count(), hashed)).one())

    def _identity(self) -> tuple[int, int]:
        """Which file SQLite's is: opening one that is gone would make an empty one."""
        assert self._file is not None
        found = self._file.stat()
        return found.st_dev, found.st_ino

    @contextlib.contextmanager
    def _asking(self) -> Iterator[sa.Connection]:
        """The one connection, which has to be the same for data_version to mean anything."""
        try:
            if self._file is not None and self._state is not None and self._state[0] != self._identity():
                self.close()  # another file was put in its place
            if self._connection is None:
                if self._file is not None:
                    self._identity()
                self._connection = self._engine.connect()
            yield self._connection
        except Exception as error:  # SQLAlchemy's, the driver's or the file system's
            self.close()
            raise unavailable(self._uri, error) from error


def _mark(line: str) -> Mark | None:
    registered_at, _, rest = line.partition(_WITHIN)
    version, _, name = rest.partition(_WITHIN)
    segment = segment_named(name)
    if segment is None or not (registered_at.isdecimal() and version.isdecimal()):
        return None
    return Mark(segment, int(version), int(registered_at))


def _over_champions(*aggregates: sa.ColumnElement[Any]) -> sa.Select[Any]:
    of_model = sa.and_(MODELS.c.workspace == ALIASES.c.workspace, MODELS.c.name == ALIASES.c.name)
    return (
        sa.select(*aggregates)
        .select_from(ALIASES.join(MODELS, of_model))
        .where(
            ALIASES.c.workspace == WORKSPACE,
            ALIASES.c.alias == CHAMPION,
            ALIASES.c.name.like(f"{PREFIX}%"),
        )
    )
