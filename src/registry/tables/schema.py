"""Where MLflow's tables are reached directly, and the one version of them that is known here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from registry.store import patience, unavailable
from registry.tables.columns import WORKSPACE

SCHEMA = "dc11669786a5"  # the alembic revision of MLflow 3.17's tables, which this package was written for
_BUSY_SECONDS = 120  # how long SQLite waits for another job's transaction


def is_direct(uri: str) -> bool:
    """Whether a tracking store is a database of a kind that is known here, and no server in front of one."""
    return uri.startswith(("sqlite", "postgresql"))


def schema_of(uri: str) -> str | None:
    """The schema version of a database's tables; None where MLflow has not made any yet.

    Raises RegistryUnavailable when the store does not answer.
    """
    file = sa.make_url(uri).database if uri.startswith("sqlite") else None
    if file and not Path(file).exists():  # which a connection would make
        return None
    try:
        with sa.create_engine(uri, poolclass=sa.NullPool, connect_args=patience(uri)).connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    except Exception as error:  # SQLAlchemy's or the driver's
        raise unavailable(uri, error) from error
    return found


def why_not(uri: str) -> str | None:
    """Why the tables of a tracking store are left to MLflow's API; None where they may be read and written here.

    Raises RegistryUnavailable when the store does not answer.
    """
    if not is_direct(uri):
        return "the tracking store is neither SQLite nor a PostgreSQL that is reached directly"
    found = schema_of(uri)
    if found != SCHEMA:
        return f"its tables are of schema version {found}, and those that are known here of {SCHEMA}"
    if (workspace := os.environ.get("MLFLOW_WORKSPACE", "").strip()) not in {"", WORKSPACE}:
        return f"workspace {workspace!r} is asked for, and the default one is known here"
    return None


def engine_of(uri: str) -> sa.Engine:
    """Reach the store with a connection a transaction; in SQLite that takes the whole database at its start."""
    if not uri.startswith("sqlite"):
        return sa.create_engine(uri, poolclass=sa.NullPool)
    engine = sa.create_engine(uri, poolclass=sa.NullPool, connect_args={"timeout": _BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def reading_engine(uri: str, busy_seconds: float = _BUSY_SECONDS) -> sa.Engine:
    """Reach the store to ask for the rows of hundreds of models at a time, with a connection each time.

    busy_seconds: how long SQLite waits for a transaction of others.

    PostgreSQL plans each question for what it asks. psycopg prepares one that it sends for the sixth time, and after
    five more the server may plan it once for whatever its parameters are: without their values it expects one row where
    there are hundreds, walks through a whole table instead, and takes 40 times as long.
    """
    sqlite = uri.startswith("sqlite")
    engine = sa.create_engine(uri, poolclass=sa.NullPool, connect_args={"timeout": busy_seconds} if sqlite else {})

    @sa.event.listens_for(engine, "connect")
    def prepare_nothing(connection: Any, _: object) -> None:
        if hasattr(connection, "prepare_threshold"):  # as psycopg's has; other drivers prepare nothing by themselves
            connection.prepare_threshold = None

    return engine


def upsert(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that may say what is to be done about rows that are there."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def among(table: sa.FromClause, names: Sequence[Any]) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """What picks the rows of some registered models."""
    return table.c.workspace == WORKSPACE, table.c.name.in_(names)


def table_of(model: Any) -> sa.Table:
    """The table behind one of MLflow's classes."""
    table: sa.Table = model.__table__
    return table
