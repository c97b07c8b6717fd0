"""A job's configuration: frozen, read once from YAML and flags, refusing what it does not know."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from forecasting.calendar import offset_of
from forecasting.history import DuplicatePolicy
from forecasting.plan import Count, Plan, Share
from training.errors import ConfigError

_EITHER = "give either path, a CSV or Parquet file, or url and query, a database"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnNames(_Frozen):
    """What the source calls the segment's key, the date and the value; other columns keep their names."""

    segment: str = "segment"
    ds: str = "ds"
    y: str = "y"

    @model_validator(mode="after")
    def _are_three(self) -> Self:
        if len({self.segment, self.ds, self.y}) < 3:
            raise ValueError("segment, ds and y must be three different columns")
        return self


class SourceConfig(_Frozen):
    """Where the history is: a CSV or Parquet file, or a query to any database that SQLAlchemy knows.

    With neither it is a Spark DataFrame, which `training.spark_job` is handed.
    """

    path: Path | None = None
    url: str | None = Field(default=None, repr=False)
    query: str | None = None
    columns: ColumnNames = ColumnNames()

    @model_validator(mode="after")
    def _is_one_source(self) -> Self:
        if self.path is not None and self.url is not None:
            raise ValueError(_EITHER)
        if (self.url is None) != (self.query is None):
            raise ValueError("url and query go together")
        return self


class ChecksConfig(_Frozen):
    """How a history is checked. freq: a pandas offset alias, inferred for each segment when None."""

    duplicates: DuplicatePolicy = "error"
    freq: str | None = None

    @field_validator("freq")
    @classmethod
    def _is_a_frequency(cls, freq: str | None) -> str | None:
        if freq is not None:
            offset_of(freq)
        return freq


class GateConfig(_Frozen):
    """What a version must show to become champion.

    max_mase_ratio: how much of the MASE of the champion's configuration, on the same cutoffs, its own may be. 1 is no
    worse at all; a few cutoffs cannot tell a tenth. min_coverage, max_coverage: the least and the largest share of
    actuals inside the interval; None: any. max_reach: how far the forecast of the next horizon may leave the
    history's range, in ranges, champion or not; None: anywhere. must_beat_baseline: whether losing to seasonal naive
    is a refusal or a warning.
    """

    max_mase_ratio: Annotated[float, Field(gt=0)] = 1.10
    min_coverage: Share | None = 0.1
    max_coverage: Share | None = None
    max_reach: Annotated[float, Field(gt=0)] | None = 5.0
    must_beat_baseline: bool = False

    @model_validator(mode="after")
    def _has_room_between_its_limits(self) -> Self:
        if self.min_coverage is not None and self.max_coverage is not None and self.min_coverage > self.max_coverage:
            raise ValueError("min_coverage is above max_coverage")
        return self


class EngineConfig(_Frozen):
    """What trains the segments.

    name: local, processes on this machine; ray or spark, a cluster. address: of Ray's head, or Spark's master; None:
    what this process is connected to, or else what is found by Ray's or Spark's own settings, or else this machine.
    """

    name: Literal["local", "ray", "spark"] = "local"
    address: str | None = None

    @model_validator(mode="after")
    def _has_use_for_its_address(self) -> Self:
        if self.name == "local" and self.address is not None:
            raise ValueError("an address is for the engines ray and spark")
        return self


class JobConfig(Plan):
    """One training job: a plan for its segments' models, and what else it does.

    segments: glob patterns; None: all. segments_from: a file of segments, one a line, as `prophetctl score` writes it:
    only those among them. workers: processes; None: one a CPU, of the cluster if there is one. chunk: most segments
    that one of them takes on, and that are registered, at a time: it bounds the memory of a job. promote: let the gate
    move the champion. dry_run: register nothing, and say what the gate would do.
    """

    source: SourceConfig
    checks: ChecksConfig = ChecksConfig()
    gate: GateConfig = GateConfig()
    engine: EngineConfig = EngineConfig()
    segments: tuple[str, ...] | None = None
    segments_from: Path | None = None
    workers: Count | None = None
    chunk: Count = 200
    promote: bool = True
    dry_run: bool = False

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.engine.name != "spark" and self.source.path is None and self.source.url is None:
            raise ValueError(f"source: {_EITHER}")
        return self


def load_config(path: Path | None, overrides: Mapping[str, object]) -> JobConfig:
    """Read a YAML file, if there is one, and lay the overrides over it.

    overrides: values by dotted key, such as {"backtest.cutoffs": 5}; a None leaves the file's value as it is.
    Raises ConfigError naming every key that is unknown or has a wrong value.
    """
    values = {} if path is None else _read_yaml(path)
    for key, value in overrides.items():
        if value is not None:
            _lay_over(values, key, value)
    if "source" not in values:
        raise ConfigError("no history is given: set source.path, or source.url and source.query")
    try:
        return JobConfig.model_validate(values)
    except ValidationError as error:
        origin = "the configuration" if path is None else str(path)
        faults = "\n".join(f"  {_explain(detail)}" for detail in error.errors())
        raise ConfigError(f"{origin} is not valid:\n{faults}") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold keys and values, not a {type(values).__name__}")
    return values


def _lay_over(values: dict[str, Any], key: str, value: object) -> None:
    """Set one dotted key; a file may have left a whole section empty."""
    *sections, last = key.split(".")
    for section in sections:
        if not isinstance(values.get(section), dict):
            values[section] = {}
        values = values[section]
    values[last] = value


def _explain(detail: ErrorDetails) -> str:
    """One fault as a sentence, with the key that was probably meant."""
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] != "extra_forbidden":
        message = detail["msg"].removeprefix("Value error, ")
        given = "" if isinstance(detail["input"], dict) else f" (got {detail['input']!r})"
        return f"{place}: {message}{given}" if place else message
    known = _keys_at(detail["loc"][:-1])
    close = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
    return f"{place}: there is no such key; {hint}"


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """The keys that the section at a place knows."""
    section: Any = JobConfig
    for part in place:
        # A number is a position in a tuple of sections, such as model.seasonalities.
        section = section.model_fields[part].annotation if isinstance(part, str) else section.__args__[0]
    return list(section.model_fields)
