"""How the catalog is, in numbers and in words. No segment is named: anybody may ask."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from serving.follower import Follower
from serving.metrics import Gauge
from serving.schemas import CatalogHealth

_OLD_SECONDS = 60.0


def health_of(follower: Follower | None) -> CatalogHealth | None:
    """The catalog that this process serves from; None where nobody follows one."""
    if follower is None:
        return None
    notice, champions = follower.notice, follower.champions
    contents = None if champions is None else champions.snapshot.contents
    age = None
    if notice.checked_at is not None:
        age = round((datetime.now(UTC) - datetime.fromisoformat(notice.checked_at)).total_seconds(), 1)
    return CatalogHealth(
        segments=0 if champions is None else len(champions.snapshot) + len(champions.snapshot.contents.others),
        written_at=None if contents is None else contents.written_at,
        checked_at=notice.checked_at,
        age_seconds=age,
        waiting=notice.waiting,
        rejected=0 if contents is None else len(contents.rejected),
        sync_errors=notice.errors,
    )


def problems_of(follower: Follower | None) -> Iterator[str]:
    """What is wrong with it."""
    if follower is None:
        return
    health = health_of(follower)
    if (fault := follower.notice.fault) is not None:
        yield fault
    elif health is not None and health.age_seconds is not None and health.age_seconds > _OLD_SECONDS:
        yield "for more than a minute nothing was heard of the registry: the process that follows it is stuck"
    rejected = 0 if follower.champions is None else len(follower.champions.snapshot.contents.rejected)
    if rejected:
        yield f"champions that cannot be used: {rejected}; last good versions go on, and the service's log says why"


def gauges_of(follower: Follower | None) -> Iterator[Gauge]:
    """The same for Prometheus."""
    health = health_of(follower)
    if health is None:
        return
    yield Gauge("forecast_catalog_segments", "Champions in the catalog.", health.segments)
    yield Gauge("forecast_catalog_waiting", "Champions that changed and are not read yet.", health.waiting)
    yield Gauge("forecast_catalog_rejected", "Champions that cannot be used.", health.rejected)
    yield Gauge("forecast_catalog_sync_errors", "How often following the registry failed.", health.sync_errors)
    if health.age_seconds is not None:
        yield Gauge(
            "forecast_catalog_age_seconds", "Time since the registry last said what is champion.", health.age_seconds
        )
