"""A registry is lost and restored by the very lines of docs/runbook.md, and every champion forecasts what it did."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from benchmarks import postgres
from benchmarks.servers import serving
from registry.registry import Registry
from tests.deploy.tools import ROOT, tool
from tests.e2e.conftest import Service, prophetctl, serve
from tests.e2e.host import PERIODS, SEGMENTS, register

pytestmark = pytest.mark.deploy

RESTORED = "registry_restored"  # as the runbook calls it
PROMOTED, ROLLED_BACK, MOVED_LATER, *UNTOUCHED = SEGMENTS

# What the runbook leaves to `aws`: one folder becomes as the other.
AWS = """#!/bin/sh
set -eu
[ "$1 $2" = "s3 sync" ]
from=$(echo "$3" | sed "s#^s3://mlflow/#$BUCKET/#") to=$(echo "$4" | sed "s#^s3://mlflow/#$BUCKET/#")
mkdir -p "$to"
cp -r "$from." "$to"
"""

Forecasts = dict[str, Any]


def blocks() -> list[list[str]]:
    """The commands of the runbook's section, block by block."""
    section = (ROOT / "docs" / "runbook.md").read_text().partition("## Backup and restore")[2].partition("\n## ")[0]
    return [block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)]


def type_in(lines: list[str], cwd: Path, **environment: str) -> None:
    """What somebody types, who stops where something fails."""
    script = "\n".join(["set -eu", *lines])
    done = subprocess.run(
        ["sh", "-c", script], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_postgresql_and_the_object_store(postgres_admin: str, tmp_path: Path) -> None:
    """MLflow's server hands the artifacts out: restored, it has another database and another bucket."""
    backup, restore, *_ = blocks()
    copies = tmp_path / "copies"
    copies.mkdir()
    environment = _postgres_tools(postgres_admin, tmp_path)
    bucket, other_bucket = tmp_path / "bucket", tmp_path / "other-bucket"
    with postgres.database(postgres_admin) as url, _mlflow(url, bucket, tmp_path) as uri:
        known, told = _champions(uri)
        before = _forecasts(uri, tmp_path / "before", known)
        environment["DATABASE_URL"] = url.replace("postgresql+psycopg://", "postgresql://")
        database, *files = backup
        assert database.startswith("pg_dump ")
        type_in([database], copies, BUCKET=str(bucket), **environment)
        _go_on(uri)
        type_in(files, copies, BUCKET=str(bucket), **environment)
    shutil.rmtree(bucket)  # the database went with its with block
    try:
        type_in(restore, copies, BUCKET=str(other_bucket), **environment)
        with _mlflow(_named(url, RESTORED), other_bucket, tmp_path) as uri:
            _is_as_before(uri, tmp_path / "after", known, before, told)
    finally:
        with psycopg.connect(postgres_admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {RESTORED} WITH (FORCE)".encode())


def test_the_embedded_store(tmp_path: Path) -> None:
    """Its database is copied while it is in use, and comes back where it was."""
    *_, backup, restore = blocks()
    uri = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    (tmp_path / "mlruns").mkdir()
    known, told = _champions(uri)
    before = _forecasts(uri, tmp_path / "before", known)
    *database, files = backup
    assert files.startswith("cp ")
    type_in(database, tmp_path)
    _go_on(uri)
    type_in([files], tmp_path)
    shutil.rmtree(tmp_path / "mlruns")
    type_in(restore, tmp_path)
    _is_as_before(uri, tmp_path / "after", known, before, told)


def _champions(uri: str) -> tuple[dict[str, list[float]], str]:
    """Champions of both versions, one of them rolled back: what Prophet says of each, and that one's story."""
    registry = Registry(uri)
    prophets = register(registry, SEGMENTS)
    registry.promote(PROMOTED, 2)
    registry.promote(ROLLED_BACK, 2)
    registry.rollback(ROLLED_BACK, "worse")
    known = {segment: prophets[segment][2 if segment == PROMOTED else 1] for segment in SEGMENTS}
    return known, prophetctl(uri, "show", ROLLED_BACK).stdout


def _go_on(uri: str) -> None:
    """What a job does between the two copies."""
    registry = Registry(uri)
    register(registry, UNTOUCHED)  # versions 3 and 4, whose files the dump does not know
    registry.promote(MOVED_LATER, 2)


def _forecasts(uri: str, folder: Path, known: Mapping[str, list[float]]) -> Forecasts:
    """What a new service makes of the registry, held against what Prophet says."""
    folder.mkdir()
    with serve(uri, folder) as service:
        return {segment: _forecast(service, segment, yhat) for segment, yhat in known.items()}


def _forecast(service: Service, segment: str, yhat: list[float]) -> Any:
    answer = service.until(lambda answer: answer.status_code == 200, 30, model_id=segment, periods=PERIODS).json()
    assert [row["yhat"] for row in answer["forecast"]] == pytest.approx(yhat, rel=1e-9)
    return answer["forecast"], answer["model"]


def _is_as_before(uri: str, folder: Path, known: Mapping[str, list[float]], before: Forecasts, told: str) -> None:
    """The same champions, the same numbers to the last digit, and a story that goes on."""
    assert _forecasts(uri, folder, known) == before
    # By processes of their own: this one may still have the lost database open.
    assert prophetctl(uri, "show", ROLLED_BACK).stdout == told
    assert "worse" in told
    assert prophetctl(uri, "rollback", PROMOTED).stdout.startswith(f"{PROMOTED}: version 1 is the champion again")


@contextlib.contextmanager
def _mlflow(url: str, bucket: Path, folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"]
    command += ["--backend-store-uri", url, "--artifacts-destination", bucket.as_uri()]
    with serving(command, ready="/health", cwd=folder) as uri:
        yield uri


def _postgres_tools(admin: str, folder: Path) -> dict[str, str]:
    """The environment in which the runbook's commands reach the tests' server, and find an `aws`."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "aws").write_text(AWS)
    (programs / "aws").chmod(0o755)
    newest = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]), default=Path())
    clients = Path(tool("pg_restore", beside=str(newest))).parent
    server = conninfo_to_dict(admin)
    named = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password"}
    reached = {name: str(server[key]) for name, key in named.items() if server.get(key)}
    return reached | {"PATH": os.pathsep.join([str(programs), str(newest), str(clients), os.environ["PATH"]])}


def _named(url: str, database: str) -> str:
    return url.rpartition("/")[0] + f"/{database}"
