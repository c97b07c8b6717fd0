"""Every change of a champion is seen, whoever made it and however the store is reached."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import watch_api
from registry.changes import Changes, Watch
from registry.errors import RegistryUnavailable
from registry.names import model_name
from registry.registry import CHAMPION, Registry
from registry.tables.watch import TableWatch
from registry.versions import Mark
from registry.watch import open_watch
from registry.watch_api import ApiWatch

ROUND = 8  # calls that take a watch of few models once around, and look at what is new


# The tables of either store, and MLflow's API, which is the same for both.
on_each = pytest.mark.parametrize(
    ("both_stores", "watch"), [("sqlite", "tables"), ("postgresql", "tables"), ("sqlite", "pages")], indirect=True
)


@pytest.fixture
def watch(request: pytest.FixtureRequest, both_stores: Registry, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """On the tables, and through the API in pages of two models."""
    monkeypatch.setattr(watch_api, "_PAGE", 2)
    return open_watch(both_stores) if request.param == "tables" else ApiWatch(both_stores)


def _add(registry: Registry, segment: str, *, champion: bool = True, **tags: str) -> int:
    """Register one more version, without any files, and promote it."""
    name = model_name(segment)
    if not registry.client.search_registered_models(f"name = '{name}'"):
        registry.client.create_registered_model(name)
    version = registry.client.create_model_version(name, f"file:///nowhere/{segment}", tags=tags or None)
    if champion:
        registry.client.set_registered_model_alias(name, CHAMPION, version.version)
    return int(version.version)


def _follow(watch: Watch, held: dict[str, Mark]) -> None:
    """Bring held up to date, as a syncer does."""
    for _ in range(ROUND):
        _apply(watch.changes(), held)


def _apply(changes: Changes | None, held: dict[str, Mark]) -> None:
    if changes is None:
        return
    if changes.whole:
        held.clear()
    held.update({mark.segment: mark for mark in changes.named})
    for segment in changes.gone:
        held.pop(segment, None)


def _versions(held: dict[str, Mark]) -> dict[str, int]:
    return {segment: mark.version for segment, mark in held.items()}


def test_the_kind_of_watch_fits_the_store(both_stores: Registry) -> None:
    """Tables where they can be reached, pages where only a server can."""
    assert isinstance(open_watch(both_stores), TableWatch)
    assert isinstance(open_watch(Registry("http://127.0.0.1:5000")), ApiWatch)


@on_each
def test_every_kind_of_change_is_seen(both_stores: Registry, watch: Watch) -> None:
    """Promotions, moves back, aliases and models that go, and a model made again under its name and number."""
    registry, held = both_stores, dict[str, Mark]()
    client = registry.client
    for segment in ("a", "b", "c", "d/e:f%g", "ü\U0001f600"):
        _add(registry, segment)
    _add(registry, "not promoted", champion=False)
    client.create_registered_model("a stranger's model")
    client.create_registered_model("forecast.%2f")  # not how "%2f" or "/" would be written
    first = watch.changes()
    assert first is not None
    assert first.whole
    _apply(first, held)
    assert _versions(held) == dict.fromkeys(("a", "b", "c", "d/e:f%g", "ü\U0001f600"), 1)
    _follow(watch, held)

    _add(registry, "a")
    _add(registry, "new")
    _follow(watch, held)
    assert (held["a"].version, held["new"].version) == (2, 1)
    client.set_registered_model_alias(model_name("a"), CHAMPION, "1")
    client.delete_registered_model_alias(model_name("b"), CHAMPION)
    client.delete_model_version(model_name("c"), "1")
    _follow(watch, held)
    assert _versions(held) == {"a": 1, "d/e:f%g": 1, "ü\U0001f600": 1, "new": 1}

    before = held["new"]
    client.delete_registered_model(model_name("new"))
    _add(registry, "new")
    client.rename_registered_model(model_name("a"), model_name("z"))
    _follow(watch, held)
    assert _versions(held) == {"z": 1, "d/e:f%g": 1, "ü\U0001f600": 1, "new": 1}
    assert held["new"] != before


@on_each
def test_nothing_is_said_where_no_champion_changed(both_stores: Registry, watch: Watch) -> None:
    """Whatever else is written."""
    for segment in ("a", "b", "c"):
        _add(both_stores, segment)
    _follow(watch, {})
    _add(both_stores, "a", champion=False)
    both_stores.client.set_model_version_tag(model_name("a"), "1", "note", "seen")
    both_stores.set_challenger("a", 2)
    assert [watch.changes() for _ in range(ROUND)] == [None] * ROUND


@on_each
def test_a_champion_is_described_as_the_registry_does(both_stores: Registry, watch: Watch) -> None:
    """With the tags and the place of the version that the alias names, and nothing for those without."""
    _add(both_stores, "a", **{"metric.mase": "0.5"})
    _add(both_stores, "a", **{"metric.mase": "0.7", "forecast.freq": "D"})
    _add(both_stores, "a/b")
    _add(both_stores, "no champion", champion=False)
    found = {one.version.segment: one for one in watch.describe(["a", "a/b", "no champion", "nobody"])}
    assert found.keys() == {"a", "a/b"}
    for segment, one in found.items():
        assert one.version == both_stores.champion(segment)
        assert one.location == both_stores.location(one.version)
        assert (one.mark.segment, one.mark.version) == (segment, one.version.version)
    assert _marks(watch) == {one.mark for one in found.values()}


def _marks(watch: Watch) -> set[Mark]:
    changes = watch.changes()
    assert changes is not None
    return set(changes.named)


@on_each
def test_a_random_history_is_followed(both_stores: Registry, watch: Watch) -> None:
    """Whatever is done in whatever order, after a round the watch knows what the registry says."""
    moves, held = random.Random(7), dict[str, Mark]()
    segments = [f"s{number}" for number in range(5)]
    actions: list[Callable[[str], object]] = [
        lambda segment: _add(both_stores, segment),
        lambda segment: both_stores.client.delete_registered_model_alias(model_name(segment), CHAMPION),
        lambda segment: both_stores.client.delete_registered_model(model_name(segment)),
    ]
    for segment in segments:
        _add(both_stores, segment)
    for _ in range(12):
        segment = moves.choice(segments)
        _add(both_stores, segment)
        moves.choice(actions)(segment)
        _apply(watch.changes(), held)
    _follow(watch, held)
    expected = {version.segment: version.version for version in both_stores.champions(100)[0]}
    assert _versions(held) == expected


def test_a_hint_shows_a_change_before_its_page_has_its_turn(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the segments that it names, and where nothing changed it tells nothing."""
    monkeypatch.setattr(watch_api, "_PAGE", 1)
    watch, held = ApiWatch(registry), dict[str, Mark]()
    for segment in ("a", "b", "c"):
        _add(registry, segment)
        _add(registry, segment)
    _apply(watch.changes(), held)
    registry.client.set_registered_model_alias(model_name("b"), CHAMPION, "1")
    registry.client.delete_registered_model_alias(model_name("c"), CHAMPION)
    assert watch.look_at(["a", "nobody"]) is None
    _apply(watch.look_at(["c", "b"]), held)
    assert _versions(held) == {"a": 2, "b": 1}
    assert watch.look_at(["c", "b"]) is None
    _follow(watch, held)
    assert _versions(held) == {"a": 2, "b": 1}


def test_a_database_file_that_goes_or_is_another_is_noticed(registry: Registry, empty_store: Path) -> None:
    """An SQLite that is gone is not made anew; one that was put in its place is read."""
    _add(registry, "a")
    watch, held = open_watch(registry), dict[str, Mark]()
    _apply(watch.changes(), held)
    path = Path(registry.uri.removeprefix("sqlite:///"))
    aside = path.rename(path.with_suffix(".aside"))
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        watch.changes()
    assert not path.exists()
    path.write_bytes(empty_store.read_bytes())
    _apply(watch.changes(), held)
    assert held == {}
    aside.replace(path)
    _apply(watch.changes(), held)
    assert _versions(held) == {"a": 1}
