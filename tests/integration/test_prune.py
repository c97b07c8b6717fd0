"""Old versions go with their runs, models and files; what is served, named or needed for a rollback stays."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from prophet import Prophet
from typer.testing import CliRunner

import cli
from forecasting.state import ForecastModel
from registry.errors import UnknownSegment
from registry.log import JobLog
from registry.names import model_name
from registry.prune import Pruned, prune
from registry.registry import Registry
from registry.sweep import SAFE_SECONDS, size_of
from registry.versions import ModelVersion
from tests.integration.ordinary import collect_garbage, log_ordinarily, record_of


@dataclass(frozen=True)
class Kept:
    """What a version consists of beside its row."""

    version: ModelVersion
    run_id: str
    model_id: str
    folder: Path


def register(registry: Registry, prophet: Prophet, segments: Sequence[str], promote: bool = True) -> list[ModelVersion]:
    """One more version of each segment, as a job registers it."""
    with JobLog(registry, "job", {}) as job:
        records = [record_of(prophet, segment, promote=promote, params={}, tags={}) for segment in segments]
        versions = job.writer.write(records)
    assert all(isinstance(version, ModelVersion) for version in versions), versions
    return versions  # type: ignore[return-value]


def parts_of(registry: Registry, version: ModelVersion) -> Kept:
    found = registry.client.get_model_version(version.name, str(version.version))
    location = registry.client.get_model_version_download_uri(version.name, str(version.version))
    folder = Path(location.removeprefix("file://")).parent
    return Kept(version, str(found.run_id), found.source.removeprefix("models:/"), folder)


def numbers(registry: Registry, segment: str) -> list[int]:
    return [version.version for version in registry.versions(segment)]


def is_whole(registry: Registry, kept: Kept) -> bool:
    """Whether version, run, model and files are all there, or all gone; anything between fails."""
    there = [
        kept.version.version in numbers(registry, kept.version.segment),
        registry.client.get_run(kept.run_id).info.lifecycle_stage == "active",
        _has_model(registry, kept.model_id),
        (kept.folder / "artifacts" / "model.pr").exists(),
    ]
    assert len(set(there)) == 1, there
    return there[0] or kept.folder.exists()


def _has_model(registry: Registry, model_id: str) -> bool:
    try:
        registry.client.get_logged_model(model_id)
    except MlflowException:
        return False
    return True


def test_the_last_versions_stay_and_the_others_go_with_everything_that_is_theirs(
    both_stores: Registry, prophet: Prophet
) -> None:
    """A dry run says the same numbers and deletes nothing; mlflow gc then finds nothing to stumble over."""
    registry, segments = both_stores, ["a", "shop/ä 100%"]
    versions = [version for _ in range(4) for version in register(registry, prophet, segments)]
    everything = [parts_of(registry, version) for version in versions]

    promised = prune(registry, keep=2, dry_run=True)
    assert all(is_whole(registry, kept) for kept in everything)
    assert (promised.versions, promised.segments, promised.orphans.folders) == (4, 2, 0)
    gone = [kept for kept in everything if kept.version.version <= 2]
    assert promised.size == sum(
        file.stat().st_size for kept in gone for file in kept.folder.rglob("*") if file.is_file()
    )

    assert prune(registry, keep=2) == promised
    assert [is_whole(registry, kept) for kept in everything] == [kept.version.version > 2 for kept in everything]
    for segment in segments:
        assert registry.rollback(segment).version == 3
        assert isinstance(registry.load(registry.champion(segment)), ForecastModel)
    assert prune(registry, keep=2) == Pruned(0, 0, 0, promised.orphans)
    collect_garbage(registry)
    with pytest.raises(MlflowException, match="not found"):
        registry.client.get_run(gone[0].run_id)
    assert [is_whole(registry, kept) for kept in everything if kept not in gone] == [True] * 4


def test_what_an_alias_names_stays_whoever_set_it_and_so_does_what_a_rollback_needs(
    registry: Registry, prophet: Prophet
) -> None:
    """Versions 1 to 8: 2 is promoted after 4, by hand 3 is named; the challenger is 8."""
    for _ in range(8):
        register(registry, prophet, ["a"], promote=False)
    for number in (1, 4, 2):
        registry.promote("a", number)
    registry.client.set_registered_model_alias(model_name("a"), "shadow", "3")
    pruned = prune(registry, keep=1)
    assert (pruned.versions, pruned.segments) == (4, 1)
    assert numbers(registry, "a") == [8, 4, 3, 2]
    assert registry.aliases("a") == {"champion": 2, "challenger": 8, "shadow": 3}
    assert registry.rollback("a").version == 4
    prune(registry, keep=1)
    assert numbers(registry, "a") == [8, 4, 3]
    registry.client.delete_registered_model_alias(model_name("a"), "shadow")
    assert prune(registry, keep=1).versions == 0, "nothing recorded is left, so a rollback takes the number before"
    assert registry.rollback("a").version == 3


def test_a_champion_set_by_hand_keeps_the_version_that_a_rollback_takes(registry: Registry, prophet: Prophet) -> None:
    """Nothing is recorded, so a rollback goes to the version numbered before it."""
    for _ in range(5):
        register(registry, prophet, ["a"], promote=False)
    registry.client.set_registered_model_alias(model_name("a"), "champion", "4")
    prune(registry, keep=1)
    assert numbers(registry, "a") == [5, 4, 3]
    assert registry.rollback("a").version == 3


def test_only_the_segments_asked_for_lose_versions(registry: Registry, prophet: Prophet) -> None:
    """By name or glob; a pattern that matches nothing is an error before anything is deleted."""
    for _ in range(3):
        register(registry, prophet, ["shop 1", "shop 2", "user[1]"])
    with pytest.raises(UnknownSegment, match="'x\\*'"):
        prune(registry, 1, ["shop*", "x*"])
    assert prune(registry, 1, ["*2", "user[1]"]).versions == 2
    assert [len(registry.versions(segment)) for segment in ("shop 1", "shop 2", "user[1]")] == [3, 2, 2]


def test_files_that_a_copy_is_made_of_stay(registry: Registry, prophet: Prophet) -> None:
    """The copy has another registered model's name, and no model of its own; mlflow gc leaves it whole, too."""
    job = JobLog(registry, "job", {})
    first = log_ordinarily(registry, job.run_id, prophet, record_of(prophet, "a", promote=False, tags={}, params={}))
    copied = parts_of(registry, first)
    registry.client.copy_model_version(f"models:/{first.name}/1", "published")
    register(registry, prophet, ["a"], promote=False)
    pruned = prune(registry, keep=1)
    assert (pruned.versions, pruned.size, numbers(registry, "a")) == (1, 0, [2])
    collect_garbage(registry)
    assert (copied.folder / "artifacts" / "model.pr").exists()
    assert registry.client.get_run(copied.run_id).info.lifecycle_stage == "active"
    assert mlflow.prophet.load_model("models:/published/1").params["k"] == pytest.approx(prophet.params["k"])


def test_a_run_stays_until_the_last_of_its_versions_goes(registry: Registry, prophet: Prophet) -> None:
    """A notebook that logs every try in one run: the old tries' models go, one by one."""
    mlflow.set_tracking_uri(registry.uri)
    mlflow.set_registry_uri(registry.uri)
    job = JobLog(registry, "job", {})
    # Not by set_experiment, which would hold for every test after this one.
    with mlflow.start_run(experiment_id=job.experiment):
        for _ in range(2):
            mlflow.prophet.log_model(prophet, name="model", registered_model_name=model_name("a"))
    first, second = (parts_of(registry, version) for version in registry.versions("a")[::-1])
    assert first.run_id == second.run_id
    assert prune(registry, keep=1).versions == 1
    assert (first.folder.exists(), _has_model(registry, first.model_id)) == (False, False)
    assert is_whole(registry, second)
    register(registry, prophet, ["a"], promote=False)
    assert prune(registry, keep=1).versions == 1
    assert not is_whole(registry, second)


def test_a_folder_elsewhere_that_a_version_was_made_of_by_hand_is_not_touched(
    registry: Registry, prophet: Prophet, tmp_path: Path
) -> None:
    """It may be anybody's."""
    folder = tmp_path / "by hand"
    folder.mkdir()
    (folder / "model.pr").write_text("{}")
    registry.client.create_registered_model(model_name("a"))
    registry.client.create_model_version(model_name("a"), folder.as_uri())
    register(registry, prophet, ["a"], promote=False)
    assert prune(registry, keep=1).versions == 1
    assert (folder / "model.pr").exists()


def test_orphaned_folders_are_swept_once_they_are_old(registry: Registry, prophet: Prophet) -> None:
    """Those of a killed job, and what a prune that was killed left; not those of a job that is just storing files."""
    [version] = register(registry, prophet, ["a"])
    kept = parts_of(registry, version)
    root = kept.folder.parent
    for name, age in [("m-old", SAFE_SECONDS + 60), ("m-young", SAFE_SECONDS - 60), ("other", 10 * SAFE_SECONDS)]:
        (root / name / "artifacts").mkdir(parents=True)
        (root / name / "artifacts" / "model.pr").write_text("x" * 1000)
        _date_back(root / name, age)
    _date_back(kept.folder, 10 * SAFE_SECONDS)
    assert prune(registry, 1, dry_run=True).orphans.size == 1000
    assert (root / "m-old").exists()
    assert prune(registry, 1).orphans.folders == 1
    assert {path.name for path in root.iterdir()} == {"m-young", "other", kept.model_id}
    assert is_whole(registry, kept)


def _date_back(folder: Path, seconds: float) -> None:
    when = time.time() - seconds
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (when, when))


def test_a_prune_that_is_killed_is_finished_by_the_next(
    registry: Registry, prophet: Prophet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each call that deletes, in turn; in the end nothing is left of the old version."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def prune_until(call: str, segment: str) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(call, killed)
            prune(registry, 1, [segment])

    for owner, name in [
        ("mlflow.tracking.MlflowClient", "delete_logged_model"),
        ("mlflow.tracking.MlflowClient", "delete_run"),
        ("mlflow.tracking.MlflowClient", "delete_model_version"),
        ("registry.prune", "remove"),
    ]:
        old = parts_of(registry, register(registry, prophet, [name])[0])
        for _ in range(2):
            register(registry, prophet, [name])
        with pytest.raises(KeyboardInterrupt):
            prune_until(f"{owner}.{name}", name)
        _date_back(old.folder, 2 * SAFE_SECONDS)
        prune(registry, 1, [name])
        assert numbers(registry, name) == [3, 2]
        assert not is_whole(registry, old)


def test_files_in_a_remote_store_are_deleted_through_it(mlflow_server: str, prophet: Prophet) -> None:
    """A tracking server that hands artifacts through; orphans are not looked for there."""
    registry = Registry(mlflow_server)
    for _ in range(3):
        register(registry, prophet, ["remote"])
    location = registry.client.get_model_version_download_uri(model_name("remote"), "1")
    assert registry.read(registry.version("remote", 1))
    pruned = prune(registry, 1, ["remote"])
    assert (pruned.versions, pruned.orphans.local) == (1, False)
    assert pruned.size > 1000
    assert numbers(registry, "remote") == [3, 2]
    assert size_of(location, registry.uri) == 0
    assert isinstance(registry.load(registry.champion("remote")), ForecastModel)


def test_the_command_says_what_goes(registry: Registry, prophet: Prophet) -> None:
    """The same words and numbers for a dry run, which deletes nothing, and for the prune itself."""
    for _ in range(3):
        register(registry, prophet, ["a"])
    words = ["prune", "--keep", "1", "--tracking-uri", registry.uri]
    dry, real = (CliRunner().invoke(cli.app, [*words, *more]) for more in (["--dry-run"], []))
    assert (dry.exit_code, real.exit_code) == (0, 0)
    assert re.match(r"1 versions of 1 segments would be deleted, 0\.\d MB of files\n0 folders", dry.stdout)
    assert dry.stdout.replace("would be ", "") == real.stdout
    assert numbers(registry, "a") == [3, 2]
