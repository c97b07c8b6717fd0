"""What a job that was cut short left in the registry: its run, its versions, and aliases that do not name them yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mlflow.entities import Run
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from registry.api_writer import writing
from registry.errors import NotResumable
from registry.names import PREFIX, model_name
from registry.registry import CHALLENGER, CHAMPION, Registry
from registry.versions import ModelVersion, promotions_of

JOB_TAG = "forecast.job"  # on a version: the run of the job that made it
_PAGE = 1000
_FEW = 200  # models that are asked for one by one, rather than by going through all
_ABSENT = {ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE)}


@dataclass(frozen=True)
class Left:
    """A version that a job left, and whether and why it was to become the champion."""

    segment: str
    version: int
    created: datetime
    promote: bool
    reason: str


def find_job(registry: Registry, run_id: str) -> Mapping[str, str]:
    """The params of a job that was cut short. Raises NotResumable or RegistryUnavailable."""
    run = _run(registry, run_id)
    if run is None:
        raise NotResumable(f"no job {run_id!r} is known to this registry")
    if run.info.lifecycle_stage == "deleted":
        raise NotResumable(f"job {run_id} was deleted")
    if MLFLOW_PARENT_RUN_ID in run.data.tags:
        parent = run.data.tags[MLFLOW_PARENT_RUN_ID]
        raise NotResumable(f"run {run_id} is not a job, but that of one segment; its job is {parent}")
    if run.info.status == "FINISHED":
        raise NotResumable(f"job {run_id} is finished; segments that failed are trained again by a new job")
    return dict(run.data.params)


def versions_of(registry: Registry, run_id: str) -> Iterator[ModelVersion]:
    """Every version that a job has registered and that is still there. Raises RegistryUnavailable."""
    token: str | None = None
    while True:
        with writing():
            page = registry.client.search_model_versions(
                f"tags.`{JOB_TAG}` = '{run_id}'", _PAGE, ["name ASC", "version_number ASC"], token
            )
        yield from (ModelVersion.of(version) for version in page)
        token = page.token
        if not token:
            return


def finish_aliases(registry: Registry, left: Sequence[Left]) -> None:
    """Let the aliases name a job's versions where the job did not come to that, and record the promotions.

    A newer version that has an alias meanwhile keeps it, and so does a champion that was rolled back to.
    Raises RegistryError.
    """
    by_name = {model_name(one.segment): one for one in left}
    last = max((one.created for one in left), default=None)
    for model in _models(registry, by_name):
        one = by_name[model.name]
        if int(model.aliases.get(CHALLENGER, 0)) < one.version:
            registry.set_challenger(one.segment, one.version)
        if one.promote and _is_to_be_promoted(model, one.version, one.created == last):
            registry.promote(one.segment, one.version, one.reason)


def end_runs(registry: Registry, run_id: str) -> None:
    """Close the segments' runs that a killed job left open, and delete the models in them that no version names.

    Those models' files are left for `sweep`. Raises RegistryUnavailable.
    """
    client = registry.client
    with writing():
        experiment = client.get_run(run_id).info.experiment_id
        query = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}' AND attributes.status = 'RUNNING'"
        for run in client.search_runs([experiment], query):
            segments_run = run.info.run_id
            if client.search_model_versions(f"run_id = '{segments_run}'"):
                client.set_terminated(segments_run, "FINISHED")
                continue
            for model in client.search_logged_models([experiment], f"source_run_id = '{segments_run}'"):
                client.delete_logged_model(model.model_id)
            client.set_terminated(segments_run, "KILLED")


def _run(registry: Registry, run_id: str) -> Run | None:
    with writing():
        try:
            return registry.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in _ABSENT:
                raise
            return None


def _models(registry: Registry, names: Collection[str]) -> Iterator[RegisteredModel]:
    """The registered models of those names, with their aliases and tags, by as few calls as it takes."""
    if len(names) <= _FEW:
        for name in names:
            with writing():
                model = registry.client.get_registered_model(name)
            yield model
        return
    token: str | None = None
    while True:
        with writing():
            page = registry.client.search_registered_models(f"name LIKE '{PREFIX}%'", _PAGE, ["name ASC"], token)
        yield from (model for model in page if model.name in names)
        token = page.token
        if not token:
            return


def _is_to_be_promoted(model: RegisteredModel, version: int, is_last: bool) -> bool:
    """Whether a version's promotion was cut off: nothing of it is recorded, or it is, and the alias did not move.

    is_last: whether nothing of the job is newer. Only such a version's alias may be missing behind its record; that of
    any other was moved back by hand.
    """
    champion = int(model.aliases.get(CHAMPION, 0))
    if champion >= version:
        return False
    moves = promotions_of(model.tags)
    if all(move.version != version for move in moves):
        return True
    newest = moves[-1]
    return is_last and newest.version == version and champion == (newest.previous or 0)
