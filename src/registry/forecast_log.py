"""The forecast log: every forecast that was served, to whom and when, in two tables that anybody can query.

A forecast is one row of `forecast_log_forecasts`, however often it is served; each time adds a short row to
`forecast_log`. Serving writes them and training reads them: this room is the one that both may know. No MLflow here.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from registry.errors import BadRecord, ForecastLogError, ForecastLogUnavailable, RegistryError
from registry.store import with_driver, without_password

SCHEMA = 1  # rises with any change of the tables below
_DIALECTS = ("postgresql", "sqlite")
_CONNECT_SECONDS = 5
_LOCK_SECONDS = 30  # for which a writer of an SQLite file waits for the others
_POSTGRES = {"connect_timeout": _CONNECT_SECONDS, "tcp_user_timeout": 10_000, "application_name": "forecast-log"}
_METADATA = sa.MetaData()
_NUMBERS = sa.JSON().with_variant(postgresql.ARRAY(sa.Double()), "postgresql")
_DATES = sa.JSON().with_variant(postgresql.ARRAY(sa.DateTime()), "postgresql")
_NANOSECONDS = "M8[ns]"

schema_table = sa.Table("forecast_log_schema", _METADATA, sa.Column("version", sa.Integer, primary_key=True))
forecasts_table = sa.Table(
    "forecast_log_forecasts",
    _METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),  # a digest of all the other columns but the last
    sa.Column("segment", sa.Text, nullable=False, index=True),
    sa.Column("model_name", sa.Text),  # NULL, as version and run_id are: an inline history was fitted
    sa.Column("version", sa.Integer),
    sa.Column("run_id", sa.Text),
    sa.Column("solver", sa.Text, nullable=False),
    sa.Column("trained_through", sa.DateTime, nullable=False),
    sa.Column("interval_width", sa.Double, nullable=False),
    sa.Column("last_ds", sa.DateTime, nullable=False),
    sa.Column("ds", _DATES, nullable=False),
    sa.Column("yhat", _NUMBERS, nullable=False),
    sa.Column("yhat_lower", _NUMBERS, nullable=False),
    sa.Column("yhat_upper", _NUMBERS, nullable=False),
    sa.Column("first_served_at", sa.DateTime(timezone=True), nullable=False),
)
served_table = sa.Table(
    "forecast_log",
    _METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True),
    sa.Column("served_at", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("request_id", sa.Text),
    sa.Column("caller", sa.Text, nullable=False),
    sa.Column("forecast_id", sa.Uuid, nullable=False, index=True),  # no foreign key: it costs every row a look-up
)

_NEW_ON_POSTGRES = (
    postgresql.insert(forecasts_table)
    .values(
        {
            name: sa.cast(sa.bindparam(name, type_=sa.Text), forecasts_table.c[name].type)
            for name in ("ds", "yhat", "yhat_lower", "yhat_upper")
        }
    )
    .on_conflict_do_nothing()
)

Dates = npt.NDArray[np.datetime64]
Floats = npt.NDArray[np.float64]


class Serving(NamedTuple):
    """One forecast as it went to one caller. served_at: UTC."""

    served_at: datetime
    request_id: str | None
    caller: str
    forecast_id: UUID


class ForecastRecord(NamedTuple):
    """One forecast as it is written. The lists are of one length; ds: ISO 8601 without an offset.

    model_name, version and run_id are None for a fit of inline history. id: the same for the same content.
    """

    id: UUID
    segment: str
    model_name: str | None
    version: int | None
    run_id: str | None
    solver: str
    trained_through: datetime
    interval_width: float
    last_ds: datetime
    ds: Sequence[str]
    yhat: Sequence[float]
    yhat_lower: Sequence[float]
    yhat_upper: Sequence[float]
    first_served_at: datetime


@dataclass(frozen=True, eq=False)
class LoggedForecast:
    """One forecast as it is read: dates and numbers (rows,) each, dates naive as those of histories.

    served: when, in UTC, for each hour in which it was: the first and the last time in it, ascending.
    """

    id: UUID
    segment: str
    version: int | None
    run_id: str | None
    trained_through: np.datetime64
    interval_width: float
    ds: Dates
    yhat: Floats
    lower: Floats
    upper: Floats
    served: tuple[tuple[np.datetime64, np.datetime64], ...]


class ForecastLog:
    """The log in one database, PostgreSQL or SQLite. Not for several threads at once.

    Raises ForecastLogError for a URL that is none or of another database. The methods raise ForecastLogUnavailable
    when the database does not answer or lets us not in, and ForecastLogError for tables of another release.
    """

    def __init__(self, url: str) -> None:
        self._url = with_driver(url)
        try:
            dialect = sa.make_url(self._url).get_backend_name()
        except SQLAlchemyError as error:
            raise ForecastLogError("the forecast log's URL is not one of SQLAlchemy's") from error  # may be a password
        if dialect not in _DIALECTS:
            raise ForecastLogError(f"the forecast log is kept in {' or '.join(_DIALECTS)}, not in {dialect}")
        self._on_sqlite = dialect == "sqlite"
        self._prepared = False

    @property
    def place(self) -> str:
        """The URL without its password."""
        return without_password(self._url)

    def prepare(self) -> None:
        """Make the tables where they are not there, whoever else does so at the same time."""
        with self._begin() as connection:
            if self._on_sqlite:
                self._make_tables(connection)
            else:  # where CREATE TABLE IF NOT EXISTS fails when two do it at once, and an index waits for writers
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('forecast_log_schema'))")
                if not sa.inspect(connection).has_table(schema_table.name):
                    self._make_tables(connection)
            self._check_version(connection)
        self._prepared = True

    def check(self) -> None:
        """Raise ForecastLogError where there is no log."""
        missing = ForecastLogError(
            f"there is no forecast log at {self.place}: a service writes one that has FORECAST_LOG_URL"
        )
        file = sa.make_url(self._url).database or ""
        if self._on_sqlite and not Path(file).exists():  # which a connection would make
            raise missing
        with self._begin() as connection:
            if not sa.inspect(connection).has_table(schema_table.name):
                raise missing
            self._check_version(connection)

    def write(self, servings: Sequence[Serving], forecasts: Sequence[ForecastRecord]) -> None:
        """Add servings, and those of the forecasts that are not there yet, in one transaction.

        Raises BadRecord where the database refuses what is written, which it would do again.
        """
        if not self._prepared:
            self.prepare()
        with self._begin() as connection:
            if forecasts:
                if self._on_sqlite:
                    new = sqlite.insert(forecasts_table).on_conflict_do_nothing()
                    connection.execute(new, [record._asdict() for record in forecasts])
                else:
                    connection.execute(_NEW_ON_POSTGRES, [_with_array_texts(record) for record in forecasts])
            if self._on_sqlite:
                connection.execute(sa.insert(served_table), [serving._asdict() for serving in servings])
            else:
                _copy(connection, servings)

    def segments(self, since: datetime) -> set[str]:
        """The segments that have a forecast for that time or a later one."""
        query = sa.select(forecasts_table.c.segment).distinct().where(forecasts_table.c.last_ds >= _naive(since))
        with self._begin() as connection:
            return set(connection.scalars(query))

    def forecasts(self, segments: Sequence[str], since: datetime) -> dict[str, list[LoggedForecast]]:
        """The forecasts of each of these segments that reach that time, those that have none left out.

        since: UTC, as dates of histories are taken to be.
        """
        table = forecasts_table.c
        meant = sa.and_(table.segment.in_(segments), table.last_ds >= _naive(since))
        found: dict[str, list[LoggedForecast]] = defaultdict(list)
        with self._begin() as connection:
            served = self._servings(connection, sa.select(table.id).where(meant))
            for row in connection.execute(sa.select(forecasts_table).where(meant)):
                found[row.segment].append(_logged(row, served.get(row.id, [])))
        return dict(found)

    def close(self) -> None:
        """Let go of the connection."""
        self._engine.dispose()

    @cached_property
    def _engine(self) -> sa.Engine:
        patience: dict[str, Any] = {"timeout": _LOCK_SECONDS} if self._on_sqlite else dict(_POSTGRES)
        return sa.create_engine(
            self._url,
            poolclass=sa.QueuePool,
            pool_size=1,
            max_overflow=0,
            connect_args=patience,
            hide_parameters=True,  # what people asked for has no place in an error's message
        )

    @contextlib.contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except RegistryError:
            raise
        except (DataError, IntegrityError) as error:
            raise BadRecord(f"the forecast log at {self.place} takes no such row: {error.orig}") from error
        except Exception as error:  # SQLAlchemy's, the driver's own, or that it is not installed
            self._prepared = False
            self._engine.dispose()
            cause = getattr(error, "orig", None) or error
            raise ForecastLogUnavailable(
                f"the forecast log at {self.place} does not answer: {type(cause).__name__}: {cause}"
            ) from error

    def _make_tables(self, connection: sa.Connection) -> None:
        if self._on_sqlite and connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # who reads holds up nobody who writes
        for table in _METADATA.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
        nothing = ~sa.exists(sa.select(schema_table.c.version))
        own = sa.select(sa.literal(SCHEMA)).where(nothing)
        connection.execute(sa.insert(schema_table).from_select(["version"], own))

    def _check_version(self, connection: sa.Connection) -> None:
        found = set(connection.scalars(sa.select(schema_table.c.version)))
        if found != {SCHEMA}:
            told = ", ".join(map(str, sorted(found))) or "none"
            raise ForecastLogError(f"the forecast log at {self.place} has tables of version {told}; ours is {SCHEMA}")

    def _servings(
        self, connection: sa.Connection, ids: sa.Select[tuple[UUID]]
    ) -> dict[UUID, list[tuple[np.datetime64, np.datetime64]]]:
        """When forecasts were served, by the hour: a popular one is served a million times."""
        at = served_table.c.served_at
        hour = sa.func.strftime("%Y-%m-%d %H", at) if self._on_sqlite else sa.func.date_trunc("hour", at)
        first = sa.func.min(at)
        query = (
            sa.select(served_table.c.forecast_id, first, sa.func.max(at))
            .where(served_table.c.forecast_id.in_(ids))
            .group_by(served_table.c.forecast_id, hour)
            .order_by(first)
        )
        found: dict[UUID, list[tuple[np.datetime64, np.datetime64]]] = defaultdict(list)
        for forecast, earliest, latest in connection.execute(query):
            found[forecast].append((np.datetime64(_naive(earliest), "ns"), np.datetime64(_naive(latest), "ns")))
        return found


def _with_array_texts(record: ForecastRecord) -> dict[str, Any]:
    """A record with its lists as PostgreSQL writes arrays, which halves what a new forecast costs this process."""
    numbers = {name: f"{{{str(list(getattr(record, name)))[1:-1]}}}" for name in ("yhat", "yhat_lower", "yhat_upper")}
    return {**record._asdict(), **numbers, "ds": f"{{{','.join(record.ds)}}}"}


def _copy(connection: sa.Connection, servings: Sequence[Serving]) -> None:
    """As an INSERT would, but in one statement: these rows are as many as the forecasts served."""
    columns = ", ".join(Serving._fields)
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {served_table.name} ({columns}) FROM STDIN") as copy:
        for serving in servings:
            copy.write_row(serving)


def _logged(row: sa.Row[Any], served: Sequence[tuple[np.datetime64, np.datetime64]]) -> LoggedForecast:
    return LoggedForecast(
        id=row.id,
        segment=row.segment,
        version=row.version,
        run_id=row.run_id,
        trained_through=np.datetime64(row.trained_through, "ns"),
        interval_width=row.interval_width,
        ds=np.array(row.ds, dtype=_NANOSECONDS),
        yhat=np.array(row.yhat, dtype=np.float64),
        lower=np.array(row.yhat_lower, dtype=np.float64),
        upper=np.array(row.yhat_upper, dtype=np.float64),
        served=tuple(served),
    )


def _naive(time: datetime) -> datetime:
    """A time in UTC without saying so, as SQLite keeps it and as dates of histories are."""
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
