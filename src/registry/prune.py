"""Delete old versions with their runs, models and files; never one that an alias or the next rollback needs.

The files go last: what a prune that is killed leaves of a version is deleted by the next one, or swept up by
registry.sweep.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from registry.api_writer import writing
from registry.errors import UnknownSegment
from registry.names import PREFIX, segment_of
from registry.registry import CHAMPION, Registry
from registry.sweep import Swept, remove, size_of, sweep
from registry.versions import promotions_of, rollback_target

_PAGE = 5000
_GONE = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


@dataclass(frozen=True)
class Pruned:
    """What a prune deleted, or would delete: versions of how many segments, the bytes of their files, and orphans."""

    versions: int
    segments: int
    size: int
    orphans: Swept


@dataclass(frozen=True)
class _Old:
    """A version to look at. model_id: the logged model that it is made of, None for a version that has none."""

    number: int
    run_id: str | None
    model_id: str | None


def prune(
    registry: Registry,
    keep: int,
    patterns: Sequence[str] | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Keep the newest versions of each segment and what has to stay; delete the rest, then sweep up orphans.

    keep: how many; at least 1. patterns: only segments that match one of these globs, None: all.
    Raises UnknownSegment when a pattern matches nothing, or RegistryUnavailable.
    """
    of_name = _versions_by_name(registry)
    models = {old.model_id for versions in of_name.values() for old in versions if old.model_id}
    count, segments, size = 0, 0, 0
    for name in _asked(of_name, patterns):
        if len(of_name[name]) <= keep:
            continue
        doomed = _doomed(registry, name, of_name[name], keep)
        count, segments = count + len(doomed), segments + bool(doomed)
        size += sum(_delete(registry, name, doomed, dry_run))
    return Pruned(count, segments, size, sweep(registry, models, dry_run))


def kept(model: RegisteredModel, numbers: Collection[int], keep: int) -> set[int]:
    """The versions that stay: the newest, those that an alias names, and the one that a rollback would put back."""
    stay = set(sorted(numbers)[-keep:]) | {int(number) for number in model.aliases.values()}
    champion = model.aliases.get(CHAMPION)
    if champion is not None:
        earlier = rollback_target(promotions_of(model.tags), int(champion), set(numbers))
        stay |= set() if earlier is None else {earlier}
    return stay


def _versions_by_name(registry: Registry) -> Mapping[str, list[_Old]]:
    found: dict[str, list[_Old]] = defaultdict(list)
    for version in _search(registry, f"name LIKE '{PREFIX}%'"):
        found[version.name].append(_old(version))
    return found


def _search(registry: Registry, query: str) -> Iterator[MlflowVersion]:
    """All versions that a filter finds. None may be deleted meanwhile: MLflow's pages count from the first."""
    token: str | None = None
    while True:
        with writing():
            page = registry.client.search_model_versions(query, _PAGE, ["name ASC", "version_number ASC"], token)
        yield from page
        token = page.token
        if not token:
            return


def _old(version: MlflowVersion) -> _Old:
    """A version copied from another, or made of files that lie anywhere, has no model of its own."""
    scheme, _, model_id = (version.source or "").partition(":/")
    own = scheme == "models" and model_id.startswith("m-") and "/" not in model_id
    return _Old(int(version.version), version.run_id or None, model_id if own else None)


def _asked(names: Collection[str], patterns: Sequence[str] | None) -> list[str]:
    """The registered models of the segments asked for. Raises UnknownSegment."""
    if patterns is None:
        return sorted(names)
    matching: set[str] = set()
    for pattern in patterns:
        found = {name for name in names if pattern == segment_of(name) or fnmatchcase(segment_of(name), pattern)}
        if not found:
            raise UnknownSegment(f"no registered segment matches {pattern!r}")
        matching |= found
    return sorted(matching)


def _doomed(registry: Registry, name: str, versions: Sequence[_Old], keep: int) -> list[_Old]:
    """The versions to delete, by the aliases as they are now: they may have moved since the versions were listed."""
    with writing():
        model = registry.client.get_registered_model(name)
    stay = kept(model, [old.number for old in versions], keep)
    return [old for old in versions if old.number not in stay]


def _delete(registry: Registry, name: str, doomed: Sequence[_Old], dry_run: bool) -> Iterator[int]:
    """Delete versions of one segment, and say of each how many bytes of files go with it."""
    others = _others_of_their_runs(registry, name, doomed)
    for old in doomed:
        with writing():
            location = _location(registry, name, old) if _owns_model(old, others) else None
            size = size_of(location, registry.uri) if location else 0
            if not dry_run:
                _delete_one(registry, name, old, location, _owns_run(old, others))
        yield size


def _delete_one(registry: Registry, name: str, old: _Old, location: str | None, with_run: bool) -> None:
    """location: of the model's files, if these and the model are to go, too."""
    client = registry.client
    if location and old.model_id:
        with _already_gone():
            client.delete_logged_model(old.model_id)
    if with_run and old.run_id:
        with _already_gone():
            client.delete_run(old.run_id)
    client.delete_model_version(name, str(old.number))
    if location:
        remove(location, registry.uri)


def _location(registry: Registry, name: str, old: _Old) -> str | None:
    """Where the files of a version's model are, if that is a folder of the model's own."""
    location = str(registry.client.get_model_version_download_uri(name, str(old.number)))
    return location if old.model_id in PurePosixPath(location).parts else None


def _others_of_their_runs(registry: Registry, name: str, doomed: Sequence[_Old]) -> list[_Old]:
    """The versions that stay and were made by the same runs; they may have other names."""
    runs, numbers = sorted({old.run_id for old in doomed if old.run_id}), {old.number for old in doomed}
    if not runs:
        return []
    found = _search(registry, f"run_id IN ({', '.join(map(repr, runs))})")
    return [_old(version) for version in found if version.name != name or int(version.version) not in numbers]


def _owns_run(old: _Old, others: Sequence[_Old]) -> bool:
    return all(other.run_id != old.run_id for other in others)


def _owns_model(old: _Old, others: Sequence[_Old]) -> bool:
    """Whether no version that stays is made of a version's model; a copy, which names none, may be."""
    if old.model_id is None or old.run_id is None:
        return False
    return all(other.model_id not in {None, old.model_id} for other in others if other.run_id == old.run_id)


@contextmanager
def _already_gone() -> Iterator[None]:
    """Let a prune go on where one that was killed stopped, or where somebody else has deleted."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != _GONE:
            raise
