"""Choose how a job's segments are registered: in bulk where the store's tables can be written, else through the API."""

from __future__ import annotations

import logging

from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

from registry.api_writer import ApiWriter, writing
from registry.records import Writer
from registry.registry import Registry
from registry.tables.schema import why_not
from registry.tables.writer import BulkWriter

_log = logging.getLogger(__name__)


def open_writer(registry: Registry, job_run_id: str, experiment: str) -> Writer:
    """Open the fastest writer that the registry's store allows; one warning says why it is not the bulk writer.

    job_run_id: the run that becomes the parent of the segments' runs. experiment: the id of its experiment.
    Raises RegistryUnavailable when the store does not answer.
    """
    reason = _why_not_in_bulk(registry, experiment)
    if reason is None:
        return BulkWriter(registry, job_run_id, experiment)
    _log.warning("Segments are registered one by one through MLflow's API, which takes ten times longer: %s", reason)
    return ApiWriter(registry, job_run_id, experiment)


def _why_not_in_bulk(registry: Registry, experiment: str) -> str | None:
    reason = why_not(registry.uri)
    if reason is not None:
        return reason
    with writing():
        workspace = registry.client.get_experiment(experiment).workspace
    if workspace != DEFAULT_WORKSPACE_NAME:
        return f"its experiment is in workspace {workspace!r}, and the bulk writer knows the default one"
    return None
