"""The champions that a job's versions are measured against: which they are, and how each can be made again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import get_args

from pydantic import ValidationError

from forecasting.configuration import Configuration
from forecasting.errors import ModelError
from forecasting.prophet_settings import read_spec
from forecasting.recipe import STOCK, Cadence, cadence_of
from registry.champions import Lookup, open_lookup
from registry.errors import RegistryError
from registry.registry import Registry
from registry.versions import ModelVersion
from training.config import JobConfig
from training.spool import Chunk

CONFIGURATION_TAG = "forecast.configuration"  # on a version: how it can be made again
_RECIPE_TAG = "forecast.recipe"
_CADENCES = set(get_args(Cadence))
_READING = 8  # champions whose files are read at once


@dataclass(frozen=True)
class Incumbent:
    """The champion of a segment when a job comes to it. metrics: those that its version recorded, of its own backtest.

    configuration: how to make it again from a job's table; None where that is not known, with the reason in unknown.
    """

    version: int
    metrics: Mapping[str, float]
    configuration: Configuration | None
    unknown: str = ""


class Champions:
    """Those of a job's segments, looked up a chunk at a time and kept only while the chunk is under way."""

    def __init__(self, registry: Registry, config: JobConfig) -> None:
        self._registry, self._config = registry, config
        self._under_way: dict[str, Incumbent | None] = {}

    @cached_property
    def _look_up(self) -> Lookup:
        return open_lookup(self._registry)

    def beside(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The chunks with their champions' configurations, for training to backtest them on the same cutoffs.

        A registry that does not answer leaves a chunk as it is: `take` asks once more.
        """
        for chunk in chunks:
            with suppress(RegistryError):
                self._under_way |= self._of(chunk.segments)
            found = {segment: self._under_way.get(segment) for segment in chunk.segments}
            configured = {segment: one.configuration for segment, one in found.items() if one and one.configuration}
            yield replace(chunk, champions=configured)

    def take(self, segments: Sequence[str]) -> dict[str, Incumbent | None]:
        """The champion of each segment, None where it has none, as it was when its chunk went out to be trained.

        Raises RegistryUnavailable.
        """
        new = [segment for segment in segments if segment not in self._under_way]
        found = self._under_way | (self._of(new) if new else {})
        for segment in segments:
            self._under_way.pop(segment, None)
        return {segment: found[segment] for segment in segments}

    def _of(self, segments: Sequence[str]) -> dict[str, Incumbent | None]:
        versions = self._look_up(segments)
        with ThreadPoolExecutor(_READING) as pool:
            champions = dict(zip(versions, pool.map(self._champion, versions.values()), strict=True))
        return {segment: champions.get(segment) for segment in segments}

    def _champion(self, version: ModelVersion) -> Incumbent:
        try:
            configuration = self._configuration(version)
        except _Unknown as error:
            return Incumbent(version.version, version.metrics, None, str(error))
        return Incumbent(version.version, version.metrics, configuration)

    def _configuration(self, version: ModelVersion) -> Configuration:
        """How a champion came about, if a fit to this job's table can come about likewise. Raises _Unknown."""
        told = version.tags.get(CONFIGURATION_TAG)
        if told is not None:
            configuration = _read(told)
        elif _RECIPE_TAG in version.tags:
            raise _Unknown(f"it was trained before versions said so in a tag {CONFIGURATION_TAG}")
        else:
            configuration = self._of_a_notebook(version)
        spec, own = configuration.model, self._config.model
        missing = [name for name in spec.history_columns if name not in own.history_columns]
        if missing:
            raise _Unknown(f"it needs the regressor {', '.join(map(repr, missing))}, which this job does not read")
        if spec.growth == "logistic" and spec.cap is None and own.growth != "logistic":
            raise _Unknown("it needs a cap, which this job does not read")
        return configuration

    def _of_a_notebook(self, version: ModelVersion) -> Configuration:
        """What a Prophet that was logged without our tags says of itself. The exact solver finds its maximum, too."""
        try:
            return Configuration(model=read_spec(self._registry.read(version)), recipes=(STOCK,))
        except (ModelError, RegistryError) as error:
            raise _Unknown(str(error)) from error


def configuration_tag(configuration: Configuration, freq: str) -> str:
    """A configuration as a tag's text, which `Champions` reads. freq: of the history that it was fitted to.

    Defaults are left out, but for what its recipes do to this cadence: their defaults are constants of a benchmark,
    which may change before the text is read.
    """
    body = configuration.model_dump(mode="json", exclude_defaults=True)
    cadence = cadence_of(freq)
    for recipe, told in zip(configuration.recipes, body["recipes"], strict=True):
        told |= recipe.model_dump(mode="json", exclude=_CADENCES)
        told[cadence] = recipe.pace(freq).model_dump(mode="json", exclude_defaults=True)
    return json.dumps(body, ensure_ascii=False)


class _Unknown(Exception):
    """Why a champion's configuration is not known, or of no use to this job."""


@lru_cache(maxsize=1024)  # most segments of a job have the same; and what is the same object is sent to workers once
def _read(told: str) -> Configuration:
    try:
        return Configuration.model_validate_json(told)
    except ValidationError as error:
        places = ", ".join(dict.fromkeys(".".join(map(str, fault["loc"])) for fault in error.errors()))
        raise _Unknown(f"its tag {CONFIGURATION_TAG} cannot be read: {places}") from error
