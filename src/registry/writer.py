"""Choose how a job's segments are registered: in bulk where the store's tables can be written, else through the API."""

from __future__ import annotations

import logging

from registry.api_writer import ApiWriter
from registry.bulk_writer import BulkWriter, why_not
from registry.records import Writer
from registry.registry import Registry

_log = logging.getLogger(__name__)


def open_writer(registry: Registry, job_run_id: str, experiment: str) -> Writer:
    """Open the fastest writer that the registry's store allows; one warning says why it is not the bulk writer.

    job_run_id: the run that becomes the segments' runs' parent. experiment: the id of its experiment.
    Raises RegistryUnavailable when the store does not answer.
    """
    reason = why_not(registry, experiment)
    if reason is None:
        return BulkWriter(registry, job_run_id, experiment)
    _log.warning("Segments are registered one by one through MLflow's API, which is several times slower: %s", reason)
    return ApiWriter(registry, job_run_id, experiment)
