"""A PostgreSQL server to measure and to test on: one that is there, or one started from Debian's binaries."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg

from benchmarks.servers import free_port

SERVER = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")


class NoPostgres(Exception):
    """There is no server, and none installed to start."""


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a server where databases may be created, for the length of a with block. Raises NoPostgres."""
    if _answers(SERVER):
        yield SERVER
        return
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        raise NoPostgres(f"no PostgreSQL at {SERVER} and none installed to start: set TEST_POSTGRES_URL")
    with _own_server(binaries[-1].parent) as url:
        yield url


@contextlib.contextmanager
def database(admin: str, template: str | None = None) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh database of a server, which is dropped at the end of the with block.

    template: the URL of another one that it is a copy of, with nobody connected; without one it is empty.
    """
    name = f"test_{uuid.uuid4().hex[:12]}"
    _tell(admin, f"CREATE DATABASE {name}" + (f" TEMPLATE {template.rpartition('/')[2]}" if template else ""))
    try:
        yield admin.replace("postgresql://", "postgresql+psycopg://").rpartition("/")[0] + f"/{name}"
    finally:
        _tell(admin, f"DROP DATABASE {name} WITH (FORCE)")


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def _tell(admin: str, statement: str) -> None:
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(statement.encode())


@contextlib.contextmanager
def _own_server(binaries: Path) -> Iterator[str]:
    """Start a PostgreSQL in a folder of its own; as another user where we are root, which it refuses to run as."""
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="prophet-serving-postgres-"))
    folder.chmod(0o777)
    data = folder / "data"

    def run(*words: str) -> None:
        subprocess.run([*user, *words], check=True, capture_output=True, cwd="/")

    try:
        run(str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth", "trust")
        port = free_port()  # tests run in more than one process
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        run(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            run(str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
