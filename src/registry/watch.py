"""Follow what the alias `champion` names, of every segment, at the least cost that each kind of store allows.

MLflow bumps no timestamp when an alias moves, so what changed is found by comparing the aliases themselves: in a
database that is reached directly, by an aggregate over all of them; through the API, page by page.
"""

from __future__ import annotations

import logging

from registry.changes import Watch
from registry.registry import Registry
from registry.store import DATABASE_SCHEMES
from registry.tables.schema import why_not
from registry.tables.watch import TableWatch

_log = logging.getLogger(__name__)


def open_watch(registry: Registry) -> Watch:
    """The watch that sees changes soonest: on the store's tables where they are within reach and known.

    Raises RegistryUnavailable.
    """
    if registry.uri.startswith(DATABASE_SCHEMES):
        reason = _why_not_by_tables(registry)
        if reason is None:
            return TableWatch(registry.uri)
        _log.warning("Champions are followed page by page, which takes longer: %s", reason)
    from registry.watch_api import ApiWatch  # MLflow with it, which takes seconds to import

    return ApiWatch(registry)


def _why_not_by_tables(registry: Registry) -> str | None:
    if why_not(registry.uri) is None:
        return None
    registry.ping()  # opened by MLflow, a new store gets its tables
    return why_not(registry.uri)
