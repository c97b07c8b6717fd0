"""The columns of MLflow's tables that following champions takes.

Written out here and not taken from MLflow's classes: importing those takes seconds of processor time and 60 MB, and
until then a host's syncer follows nothing, after a start and after another one was killed. A test holds them against
MLflow's own.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

WORKSPACE = "default"  # the one that is known here
DELETED = "Deleted_Internal"  # the stage of a version that was deleted


def _table(name: str, **columns: type[sa.types.TypeEngine[Any]]) -> sa.TableClause:
    """A table of things that have a name; columns: its others, with their types."""
    named = {"workspace": sa.String, "name": sa.String}
    return sa.table(name, *(sa.column(column, kind) for column, kind in (named | columns).items()))


MODELS = _table("registered_models", creation_time=sa.BigInteger)
ALIASES = _table("registered_model_aliases", alias=sa.String, version=sa.Integer)
VERSIONS = _table(
    "model_versions",
    version=sa.Integer,
    run_id=sa.String,
    creation_time=sa.BigInteger,
    current_stage=sa.String,
    source=sa.String,
    storage_location=sa.String,
)
VERSION_TAGS = _table("model_version_tags", version=sa.Integer, key=sa.String, value=sa.Text)
