"""Ids of bulk-written runs and models: as MLflow's to whoever reads them, in the order of time to an index."""

from __future__ import annotations

import uuid

import pytest

from registry.tables import ids


def test_an_id_is_a_uuid_as_mlflow_writes_it() -> None:
    """32 hex digits, of version 7."""
    known = uuid.UUID(hex=ids.new_id())
    assert (known.version, known.variant, len(known.hex)) == (7, uuid.RFC_4122, 32)


def test_a_later_id_sorts_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """By milliseconds; within one, by chance."""
    made = []
    for milliseconds in (0, 1, 1_764_000_000_000, 1_764_000_000_001, 2**48 - 1):
        monkeypatch.setattr(ids.time, "time_ns", lambda now=milliseconds: now * 1_000_000 + 999_999)
        made.append(ids.new_id())
    assert made == sorted(made)
    assert made[2].startswith(f"{1_764_000_000_000:012x}7")


def test_ids_of_one_moment_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """74 random bits are enough for any job, and for several at once."""
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_764_000_000_000_000_000)
    assert len({ids.new_id() for _ in range(20_000)}) == 20_000
