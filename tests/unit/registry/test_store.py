"""What opening stores leaves behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import store
from registry.errors import RegistryUnavailable
from registry.registry import Registry


@pytest.fixture(autouse=True)
def _own_temp_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))


def test_locks_of_many_stores_do_not_pile_up(tmp_path: Path) -> None:
    """However many stores are opened, and all in one folder that is this user's alone."""
    for number in range(500):
        with store._one_at_a_time(f"sqlite:///{number}.db"):
            pass
    [folder] = (tmp_path / "tmp").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert 32 < len(list(folder.iterdir())) <= 64


def _open_to_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc"), Path.touch, _open_to_all])
def test_a_folder_that_others_may_have_made_is_not_used(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A link, a file, or one that is open to all."""
    make(tmp_path / "tmp" / f"prophet-serving-{os.getuid()}")
    with pytest.raises(OSError, match=r"no folder|exists"):
        store.own_folder()
    with pytest.raises(RegistryUnavailable, match="does not open"):
        Registry(f"sqlite:///{tmp_path}/mlflow.db").ping()
