"""Champions looked up together are those that are looked up one by one, in each store and by each way."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from prophet import Prophet

from registry.champions import open_lookup
from registry.errors import RegistryUnavailable
from registry.log import JobLog
from registry.names import model_name
from registry.registry import Registry
from registry.tables import schema
from tests.integration.ordinary import record_of

SERVED = ["a", "shop/ä 100%", "x'y\"z", "_", "%"]


def fill(registry: Registry, prophet: Prophet) -> None:
    """Champions with many tags, with one and with none, behind a newer version and not; and some that are none."""
    with JobLog(registry, "job", {}) as job:
        records = [record_of(prophet, segment) for segment in [*SERVED, "a", "behind"]]
        records += [record_of(prophet, segment, promote=False, tags={}) for segment in ("behind", "untold", "none")]
        job.writer.write(records)
    registry.promote("untold", 1)
    registry.client.set_registered_model_alias(model_name("untold"), "canary", "1")
    job.writer.write([record_of(prophet, "deleted")])
    registry.client.delete_model_version(model_name("deleted"), "1")


@pytest.mark.parametrize("way", ["by a query", "by the API"])
def test_many_are_what_each_is(
    both_stores: Registry, prophet: Prophet, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those without a champion are left out, and so is what cannot be a segment's key."""
    fill(both_stores, prophet)
    if way == "by the API":
        monkeypatch.setattr("registry.champions.why_not", lambda _: "of a reason")
    asked = [*SERVED, "behind", "untold", "none", "deleted", "never seen", "", "k" * 300, "\0"]
    found = open_lookup(both_stores)(asked)
    assert found == {segment: both_stores.champion(segment) for segment in [*SERVED, "behind", "untold"]}
    assert found["a"].version == 2
    assert found["untold"].tags == {}


def test_a_tracking_server_is_asked_through_its_api(mlflow_server: str, prophet: Prophet) -> None:
    """Over HTTP, with a segment that is not there among those that are."""
    registry = Registry(mlflow_server)
    with JobLog(registry, "job", {}) as job:
        job.writer.write([record_of(prophet, "looked up"), record_of(prophet, "held", promote=False)])
    assert open_lookup(registry)(["looked up", "held", "nobody"]) == {"looked up": registry.champion("looked up")}


def test_one_query_answers_for_a_chunk(registry: Registry, prophet: Prophet) -> None:
    """However many segments there are in it: no question a segment."""
    fill(registry, prophet)
    lookup, asked = open_lookup(registry), list[str]()

    def remember(*given: Any) -> None:
        asked.append(given[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", remember)
    try:
        assert len(lookup([*SERVED, *(f"new {n}" for n in range(400))])) == len(SERVED)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", remember)
    assert len(asked) == 1


def test_tables_of_another_mlflow_are_left_to_the_api(registry: Registry, prophet: Prophet) -> None:
    """As for writing."""
    fill(registry, prophet)
    with sa.create_engine(registry.uri, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'abcdef123456'"))
    assert "abcdef123456" in (schema.why_not(registry.uri) or "")
    assert open_lookup(registry)(["a"]) == {"a": registry.champion("a")}


def test_a_store_that_is_gone_is_told(registry: Registry) -> None:
    """As our own error."""
    lookup = open_lookup(registry)
    with sa.create_engine(registry.uri, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("DROP TABLE registered_model_aliases"))
    with pytest.raises(RegistryUnavailable):
        lookup(["a"])
