"""Stores of both kinds, for what must hold in each."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.registry import Registry


@pytest.fixture(params=["sqlite", "postgresql"])
def both_stores(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry in an empty store: once in SQLite, once in PostgreSQL; its files beside the test's own."""
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", (tmp_path / "files").as_uri())
    return Registry(request.getfixturevalue("store" if request.param == "sqlite" else "postgres_store"))
