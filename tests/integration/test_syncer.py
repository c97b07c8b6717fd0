"""A host's snapshot follows the registry: only what changed is read, and no failure costs a segment its model."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet

from registry.changes import Changes, Watch
from registry.errors import RegistryUnavailable
from registry.log import JobLog
from registry.names import model_name
from registry.registry import CHAMPION, Registry
from registry.versions import Champion
from registry.watch import open_watch
from registry.watch_api import ApiWatch
from serving.board import Board
from serving.checking import Checked, check
from serving.snapshot import Snapshot, open_snapshot
from serving.syncer import Syncer


class Host:
    """One host's snapshot folder with its syncer, and what that has read."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder
        self.path = folder / "catalog"
        self.board = Board(folder / "lock")
        self.read: list[str] = []
        self.is_away = False
        self.syncer = self.start()

    def start(self) -> Syncer:
        """A new syncer, as after a restart."""
        return Syncer(self.path, self._watch, self._check, self.board, "the registry", poll_seconds=1.0)

    def _watch(self) -> Watch:
        if self.is_away:
            raise RegistryUnavailable("not today")
        return open_watch(self._registry)

    def _check(self, champions: Sequence[Champion]) -> list[Checked]:
        self.read += [champion.mark.segment for champion in champions]
        return [check(champions, self._registry.uri)]

    def step(self) -> Snapshot:
        """One look at the registry; the snapshot after it. What was read before is forgotten."""
        self.read.clear()
        self.syncer.step()
        return open_snapshot(self.path, verify=True)


@pytest.fixture
def host(registry: Registry, tmp_path: Path) -> Host:
    folder = tmp_path / "host"
    folder.mkdir()
    return Host(registry, folder)


@pytest.fixture
def promote(registry: Registry, prophet: Prophet) -> Callable[..., Path]:
    """Registers and promotes one more version of a segment; gives the folder of its files."""

    def promote(segment: str, model: Prophet = prophet, **tags: str) -> Path:
        with JobLog(registry, "test", {}) as job:
            version = job.log_segment(segment, model, params={}, metrics={}, tags=tags)
        registry.promote(segment, version.version)
        return Path(registry.location(version).removeprefix("file://"))

    return promote


def _versions(snapshot: Snapshot) -> dict[str, int]:
    return {snapshot.segment(row): snapshot.mark(row).version for row in range(len(snapshot))}


def test_only_what_changed_is_read(registry: Registry, host: Host, promote: Callable[..., Path]) -> None:
    """One moved alias costs one model, a removed one none, and a look at nothing new costs no snapshot."""
    for segment in ("a", "b", "c"):
        promote(segment)
    assert _versions(host.step()) == {"a": 1, "b": 1, "c": 1}
    assert sorted(host.read) == ["a", "b", "c"]
    promote("b")
    registry.client.delete_registered_model_alias(model_name("c"), CHAMPION)
    assert _versions(host.step()) == {"a": 1, "b": 2}
    assert host.read == ["b"]
    registry.rollback("b")
    assert _versions(host.step()) == {"a": 1, "b": 1}
    assert host.read == ["b"]
    written = host.path.stat()
    host.step()
    assert host.read == []
    assert host.path.stat().st_ino == written.st_ino


def test_a_restart_reads_nothing_that_the_snapshot_has(host: Host, promote: Callable[..., Path]) -> None:
    """And what changed meanwhile."""
    for segment in ("a", "b"):
        promote(segment)
    host.step()
    promote("a")
    host.syncer = host.start()
    assert _versions(host.step()) == {"a": 2, "b": 1}
    assert host.read == ["a"]


def test_a_row_forecasts_and_is_described_as_its_version(
    registry: Registry, host: Host, promote: Callable[..., Path], prophet: Prophet
) -> None:
    """The model, its provenance and the registry's facts."""
    promote("a", prophet, **{"metric.mase": "0.5", "metric.odd": "none", "forecast.solver": "exact"})
    snapshot = host.step()
    version, model = registry.champion("a"), snapshot.table.model(0)
    assert snapshot.find("a") == 0
    assert (snapshot.info(0).version, snapshot.info(0).run_id, snapshot.info(0).solver) == (1, version.run_id, "exact")
    assert snapshot.info(0).trained_through == pd.Timestamp(prophet.history["ds"].iloc[-1]).isoformat()
    assert snapshot.served(0).metrics == {"mase": 0.5}
    np.testing.assert_array_equal(model.beta, prophet.params["beta"])


def _corrupt(files: Path) -> None:
    (files / "model.pr").write_text("{]")


def _with_code(files: Path) -> None:
    described = (files / "MLmodel").read_text()
    (files / "MLmodel").write_text(described.replace("  prophet:\n    code: null", "  prophet:\n    code: code"))


def _with_nan(files: Path) -> None:
    inner = json.loads((files / "model.pr").read_text())
    state = json.loads(inner)
    state["params"]["k"] = [[float("nan")]]
    (files / "model.pr").write_text(json.dumps(json.dumps(state)))


def _too_large_to_forecast(files: Path) -> None:
    state = json.loads(json.loads((files / "model.pr").read_text()))
    state["params"]["k"] = [[1e308]]
    state["y_scale"] = 1e308
    (files / "model.pr").write_text(json.dumps(json.dumps(state)))


BAD = {
    "corrupt": (_corrupt, "not a Prophet in JSON"),
    "code": (_with_code, "brings code"),
    "NaN": (_with_nan, "k is not finite"),
    "infinite": (_too_large_to_forecast, "is not finite"),
    "gone": (shutil.rmtree, "cannot be read"),
}


@pytest.mark.parametrize(("spoil", "reason"), BAD.values(), ids=BAD)
def test_a_bad_champion_is_reported_and_the_last_good_one_goes_on(
    host: Host, promote: Callable[..., Path], spoil: Callable[[Path], None], reason: str
) -> None:
    """Until a good one is promoted, and through restarts; a segment that never had a good one has no row."""
    for segment in ("a", "b"):
        promote(segment)
    host.step()
    for segment in ("a", "new"):
        spoil(promote(segment))
    promote("b")
    snapshot = host.step()
    assert _versions(snapshot) == {"a": 1, "b": 2}
    assert snapshot.contents.rejected.keys() == {"a", "new"}
    assert reason in snapshot.contents.rejected["a"].reason
    assert "'a' version 2" in snapshot.contents.rejected["a"].reason
    host.step()
    assert host.read == []
    host.syncer = host.start()
    promote("a")
    snapshot = host.step()
    assert _versions(snapshot) == {"a": 3, "b": 2}
    assert snapshot.contents.rejected.keys() == {"new"}


def test_a_champion_whose_files_were_away_is_tried_again(
    host: Host, promote: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the artifact store is down for a while."""
    monkeypatch.setattr("serving.syncer._RETRY_SECONDS", 0.0)
    files = promote("a")
    aside = files.rename(tmp_path / "aside")
    assert host.step().contents.rejected.keys() == {"a"}
    written = host.path.stat().st_ino
    host.step()
    assert host.read == ["a"]
    assert host.path.stat().st_ino == written, "a snapshot that says the same again"
    aside.rename(files)
    snapshot = host.step()
    assert _versions(snapshot) == {"a": 1}
    assert not snapshot.contents.rejected


def test_what_arrays_cannot_express_is_kept_by_name(
    host: Host, promote: Callable[..., Path], daily: pd.DataFrame
) -> None:
    """And takes its row back with the next version that they can."""
    odd = Prophet()
    odd.add_regressor("rain", regressor_predictor=True)
    odd.fit(daily.assign(rain=np.sin(daily.index)))
    promote("a")
    promote("b")
    host.step()
    promote("a", odd)
    snapshot = host.step()
    assert _versions(snapshot) == {"b": 1}
    assert (snapshot.version("a"), snapshot.version("b"), snapshot.version("c")) == (2, 1, None)
    promote("a")
    snapshot = host.step()
    assert _versions(snapshot) == {"a": 3, "b": 1}
    assert not snapshot.contents.others


def test_a_slow_look_does_not_put_off_the_next(
    host: Host, promote: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one lists all champions, which takes seconds where there are many: promotions after it do not wait."""
    promote("a")
    host.step()

    class Slow:
        """A registry that takes its time to list champions."""

        def __init__(self, watch: Watch) -> None:
            self.describe, self.close, self._changes = watch.describe, watch.close, watch.changes

        def changes(self) -> Changes | None:
            time.sleep(0.3)
            return self._changes()

    watch = host._watch
    monkeypatch.setattr(host, "_watch", lambda: Slow(watch()))
    host.syncer = host.start()
    assert host.syncer.step() == 2.0


def test_the_snapshot_outlives_the_registry(host: Host, promote: Callable[..., Path]) -> None:
    """A registry that is away is reported and tried again ever more seldom, also from a cold start."""
    promote("a")
    host.step()
    checked_at = host.board.read().checked_at
    host.is_away = True
    host.syncer = host.start()
    rests = [host.syncer.step() for _ in range(8)]
    assert rests == sorted(rests)
    assert rests[-1] == 5.0
    assert _versions(open_snapshot(host.path)) == {"a": 1}
    notice = host.board.read()
    assert "does not answer" in str(notice.fault)
    assert (notice.errors, notice.checked_at) == (8, checked_at)
    host.is_away = False
    promote("a")
    assert _versions(host.step()) == {"a": 2}
    assert host.board.read().fault is None


def test_a_registry_that_was_emptied_does_not_empty_the_catalog(
    registry: Registry, host: Host, promote: Callable[..., Path]
) -> None:
    """As where MLflow made a new store because the old one was not to be found; one alias after the other may go."""
    promote("a")
    promote("b")
    host.step()
    for segment in ("a", "b"):
        registry.client.delete_registered_model_alias(model_name(segment), CHAMPION)
    aside = host.path.read_bytes()
    assert _versions(host.step()) == {}
    host.path.write_bytes(aside)
    host.syncer = host.start()
    assert _versions(host.step()) == {"a": 1, "b": 1}
    assert "no champions any more" in str(host.board.read().fault)
    promote("c")
    assert _versions(host.step()) == {"c": 1}
    assert host.board.read().fault is None


def test_a_snapshot_that_cannot_be_written_is_reported_and_tried_again(
    host: Host, promote: Callable[..., Path], tmp_path: Path
) -> None:
    """The old one stays; here its folder is gone for a while."""
    promote("a")
    host.step()
    aside = host.path.parent.rename(tmp_path / "aside")
    promote("a")
    host.syncer.step()
    assert "cannot be written" in str(host.board.read().fault)
    assert _versions(open_snapshot(aside / "catalog")) == {"a": 1}
    aside.rename(host.path.parent)
    assert _versions(host.step()) == {"a": 2}
    assert host.board.read().fault is None


def test_a_damaged_snapshot_is_made_anew(host: Host, promote: Callable[..., Path]) -> None:
    """From the registry, like a cold start."""
    promote("a")
    host.step()
    host.path.write_bytes(host.path.read_bytes()[:-20])
    host.syncer = host.start()
    assert _versions(host.step()) == {"a": 1}


def test_what_a_killed_process_left_of_a_snapshot_is_removed(host: Host, promote: Callable[..., Path]) -> None:
    """Or a worker that is killed again and again fills the disk; other files are not touched."""
    promote("a")
    host.step()
    left, other = host.path.with_name("catalog.4711.tmp"), host.path.with_name("another.4711.tmp")
    for path in (left, other):
        path.write_bytes(b"half of a snapshot")
    host.syncer = host.start()
    assert (left.exists(), other.exists()) == (False, True)
    assert _versions(host.step()) == {"a": 1}


def test_many_champions_are_read_in_portions(
    host: Host, promote: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is served while the rest waits, and the last that changed is the first to be read."""
    monkeypatch.setattr("serving.syncer._AT_ONCE", 2)
    monkeypatch.setattr("serving.syncer._READ_SECONDS", 0.0)
    monkeypatch.setattr("serving.syncer._READ_WRITES", 0.0)
    for segment in "abcde":
        promote(segment)
    snapshot = host.step()
    assert (len(snapshot), snapshot.contents.complete, host.board.read().waiting) == (2, False, 3)
    late = next(segment for segment in "abcde" if snapshot.find(segment) is None)
    promote(late)
    assert _versions(host.step())[late] == 2
    snapshot = host.step()
    assert (len(snapshot), snapshot.contents.complete, host.board.read().waiting) == (5, True, 0)


def test_a_hint_is_followed_out_of_turn(
    registry: Registry, host: Host, promote: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The segment that it names is read, and no other; a registry that is away is no worse for one."""
    monkeypatch.setattr("tests.integration.test_syncer.open_watch", ApiWatch)
    host.syncer.look_at(["a"])
    assert not host.path.exists()
    for segment in ("a", "b"):
        promote(segment)
    host.step()
    for segment in ("a", "b"):
        promote(segment)
    host.read.clear()
    host.syncer.look_at(["a", "nobody"])
    assert _versions(open_snapshot(host.path)) == {"a": 2, "b": 1}
    assert host.read == ["a"]
    monkeypatch.setattr(ApiWatch, "look_at", lambda *_: registry.champion("never registered"))
    host.syncer.look_at(["a"])
    assert host.board.read().fault is not None
    assert _versions(host.step()) == {"a": 2, "b": 2}


def test_an_empty_registry_has_a_catalog(host: Host) -> None:
    """One without rows, which is as complete as any."""
    snapshot = host.step()
    assert (len(snapshot), snapshot.contents.complete, snapshot.find("a")) == (0, True, None)


def test_one_process_at_a_time_holds_the_board(tmp_path: Path) -> None:
    """And everybody reads it."""
    first, second = Board(tmp_path / "lock"), Board(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire()
    first.write(first.read().model_copy(update={"fault": "x" * 5000, "errors": 3}))
    assert (second.read().errors, len(str(second.read().fault))) == (3, 1000)
    first.close()
    assert second.acquire()
    assert second.read().errors == 3
