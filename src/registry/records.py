"""What training hands over to be registered, and the check that no record can spoil its neighbours' transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_batch_log_data, _validate_model_name, _validate_model_version_tag

from registry.errors import BadRecord, RegistryError
from registry.names import model_name
from registry.versions import ModelVersion

LONGEST_RUN_NAME = 250  # characters of MLflow's runs.name
LONGEST_RUN_TAG = 8000  # characters of MLflow's tags.value


@dataclass(frozen=True)
class SegmentRecord:
    """One trained segment, ready to become a version.

    model_json: the Prophet in its own JSON text, as prophet.serialize.model_to_json writes it.
    inputs: the columns beside ds that forecast rows need. tags stand on the run and on the version.
    promote: whether the version becomes the champion; it becomes the challenger in any case. reason: why.
    """

    segment: str
    model_json: str
    inputs: tuple[str, ...]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    promote: bool
    reason: str = ""

    @property
    def name(self) -> str:
        """The registered model's name. Raises BadSegment."""
        return model_name(self.segment)


class Writer(Protocol):
    """Registers many trained segments for one job."""

    def write(self, records: Iterable[SegmentRecord]) -> list[ModelVersion | RegistryError]:
        """Register each record, promote those that ask for it, and say in order what came of each."""

    def write_failures(self, failures: Mapping[str, str]) -> None:
        """Keep a FAILED child run for each segment, with its reason as the tag `failure`.

        Raises RegistryUnavailable.
        """


def checked(record: SegmentRecord) -> SegmentRecord:
    """Give the record back as every store takes it: values too long for a run are cut by MLflow's own rule.

    Raises BadSegment for the segment's key and BadRecord for the rest.
    """
    name = record.name
    try:
        metrics, params, _ = _validate_batch_log_data(  # type: ignore[no-untyped-call]
            [Metric(key, float(value), 0, 0) for key, value in record.metrics.items()],
            [Param(key, str(value)) for key, value in record.params.items()],
            [RunTag(key, str(value)) for key, value in record.tags.items()],
        )
        _validate_model_name(name)
        for key, value in record.tags.items():
            _validate_model_version_tag(key, str(value))  # type: ignore[no-untyped-call]
    except (MlflowException, TypeError, ValueError) as error:
        raise BadRecord(f"segment {record.segment!r}: {error}") from error
    keys = (*record.params, *record.metrics, *record.tags)
    values = (*record.params.values(), *record.tags.values())
    if not storable("".join(map(str, (*keys, *values, *record.inputs, record.reason)))):
        raise BadRecord(f"segment {record.segment!r}: a param, metric, tag or reason holds a NUL or half a character")
    return replace(
        record,
        params={param.key: param.value for param in params},
        metrics={metric.key: metric.value for metric in metrics},
        tags={key: str(value) for key, value in record.tags.items()},
    )


def run_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Cut tags to what a run's table holds, as MLflow's log_batch does; a version's table holds more."""
    return {key: value[:LONGEST_RUN_TAG] for key, value in tags.items()}


def storable(text: str) -> bool:
    """Whether PostgreSQL and UTF-8 take the text: no NUL, no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def failed_run(segment: str, reason: str) -> tuple[str, dict[str, str]]:
    """Name the run of a segment that failed, and its tags, with what no store takes replaced or cut."""
    return _forced(segment)[:LONGEST_RUN_NAME], {"failure": _forced(reason)[:LONGEST_RUN_TAG]}


def _forced(text: str) -> str:
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
