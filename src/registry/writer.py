"""Choose how a job's segments are registered: in bulk where the store's tables can be written, else through the API."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

from registry.api_writer import ApiWriter, writing
from registry.bulk_writer import SCHEMA, BulkWriter
from registry.records import Writer
from registry.registry import Registry

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
    if not registry.uri.startswith(("sqlite", "postgresql")):
        return "the tracking store is neither SQLite nor a PostgreSQL that is reached directly"
    with writing():
        found = _schema_of(registry.uri)
        workspace = registry.client.get_experiment(experiment).workspace
    if found != SCHEMA:
        return f"its tables are of schema version {found}, and the bulk writer knows {SCHEMA}"
    if workspace != DEFAULT_WORKSPACE_NAME:
        return f"its experiment is in workspace {workspace!r}, and the bulk writer knows the default one"
    return None


def _schema_of(uri: str) -> str | None:
    """The alembic revision of a database's tables."""
    with sa.create_engine(uri, poolclass=sa.NullPool).connect() as connection:
        found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found
