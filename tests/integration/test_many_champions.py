"""What looking up and following many champions takes of a database, and what it does without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.model_registry.dbmodels import models as registered
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME
from prophet import Prophet

from registry.log import JobLog
from registry.names import model_name
from registry.registry import Registry
from registry.tables import columns
from registry.tables.champions import champions_named
from registry.tables.schema import reading_engine
from tests.integration.ordinary import record_of

MANY, ASKED = 5_000, 200
TIMES = 15  # psycopg prepares what it executes for the sixth time, and PostgreSQL thinks again after five more


def fill(engine: sa.Engine) -> None:
    """Register many segments, each with a champion and a tag."""
    of_each = f"'default', 'forecast.s' || n {{}} FROM generate_series(1, {MANY}) n"
    with engine.begin() as connection:
        for table, more, values in (
            ("registered_models", "creation_time", ", 1"),
            ("model_versions", "version, creation_time, source, current_stage", ", 1, 1, '/nowhere', 'None'"),
            ("registered_model_aliases", "version, alias", ", 1, 'champion'"),
            ("model_version_tags", "version, key, value", ", 1, 'forecast.freq', 'D'"),
        ):
            rows = f"INSERT INTO {table} (workspace, name, {more}) SELECT {of_each.format(values)}"
            connection.exec_driver_sql(rows)
        connection.exec_driver_sql("ANALYZE")


def rows_read(connection: sa.Connection, ask: Callable[[], object]) -> int:
    """How many rows the server looks at in the tables until it has answered."""
    count = sa.text("SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables")
    before = int(connection.execute(count).scalar() or 0)
    ask()
    return int(connection.execute(count).scalar() or 0) - before


def test_postgresql_finds_the_hundredth_chunk_as_it_finds_the_first(postgres_store: str) -> None:
    """Planned once for whatever is asked for, the same question took it through all versions, each time."""
    engine = reading_engine(postgres_store)
    fill(engine)
    names = [model_name(f"s{number}") for number in range(1, ASKED + 1)]
    with engine.connect() as connection:
        read = [rows_read(connection, lambda: champions_named(connection, names)) for _ in range(TIMES)]
        assert len(champions_named(connection, names)) == ASKED
    assert read == [read[0]] * TIMES


def test_followed_are_the_columns_that_mlflow_has() -> None:
    """By name and type; and by the values of MLflow's that stand in our own words."""
    classes = (
        registered.SqlRegisteredModel,
        registered.SqlRegisteredModelAlias,
        registered.SqlModelVersion,
        registered.SqlModelVersionTag,
    )
    theirs = {model.__table__.name: model.__table__.columns for model in classes}
    for table in (columns.MODELS, columns.ALIASES, columns.VERSIONS, columns.VERSION_TAGS):
        for column in table.columns:
            assert isinstance(theirs[table.name][column.name].type, type(column.type)), column
    assert (columns.WORKSPACE, columns.DELETED) == (DEFAULT_WORKSPACE_NAME, STAGE_DELETED_INTERNAL)


def test_a_database_is_followed_without_mlflow(both_stores: Registry, prophet: Prophet, tmp_path: Path) -> None:
    """Its import takes seconds of processor time, during which a promotion would wait."""
    with JobLog(both_stores, "job", {}) as job:
        job.writer.write([record_of(prophet, "followed")])
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from registry.registry import Registry\n"
        "from registry.watch import open_watch\n"
        "from serving.checking import check\n"
        f"watch = open_watch(Registry({both_stores.uri!r}))\n"
        "[mark] = watch.changes().named\n"
        f"[row] = check(watch.describe([mark.segment]), {both_stores.uri!r}).part.rows\n"
        "print(row.mark.segment, 'mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "followed False"
