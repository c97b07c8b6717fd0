"""Read champions, move aliases, load models: everything about a registry that is not a training job's log.

MLflow is imported when the store is opened, here and in the modules below: a worker that serves from its host's catalog
never does, and is 110 MB smaller for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from forecasting.errors import Inexpressible, ModelError
from forecasting.state import ForecastModel
from registry import artifacts, names, store
from registry.errors import (
    BadArtifact,
    BadPageToken,
    NoChampion,
    NothingToRollBackTo,
    RegistryError,
    RegistryUnavailable,
    UnknownSegment,
    UnknownVersion,
)
from registry.names import model_name, segment_of
from registry.versions import EVENT_TAG, ModelVersion, Promotion, promotions_of, rollback_target

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel
    from prophet import Prophet

CHAMPION = "champion"
CHALLENGER = "challenger"
KEPT_EVENTS = 50
_ALIAS_ATTEMPTS = 5
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
_NO_TOKEN = "page_token is not one that the page before gave"


class Registry:
    """One MLflow registry, seen as segments with versions of which one is the champion.

    tracking_uri: an MLflow server or database; by default $MLFLOW_TRACKING_URI, else the embedded store under mlruns/.
    Every method raises RegistryUnavailable when the store does not answer.
    """

    def __init__(self, tracking_uri: str | None = None) -> None:
        self.uri = store.tracking_uri(tracking_uri)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client, opened when first needed: a registry that is down must not stop a service's start."""
        return store.connect(self.uri)

    def ping(self) -> None:
        """Ask the store the least that proves it answers."""
        with self.asking():
            self.client.search_registered_models(max_results=1)

    def champion(self, segment: str) -> ModelVersion:
        """The version that is served. Raises UnknownSegment or NoChampion."""
        try:
            with self.asking():
                return self._champion_of(model_name(segment))
        except NotThere:
            self._look_for(segment)
            raise NoChampion(f"segment {segment!r} is registered, but no version is its champion") from None

    def champions(
        self, limit: int, page_token: str | None = None, prefix: str = ""
    ) -> tuple[list[ModelVersion], str | None]:
        """A page of served versions in the order of their names, and the token of the next page.

        prefix: what the segments' keys start with. A page may hold fewer than limit versions: segments without a
        champion are left out. Raises BadPageToken.
        """
        try:
            page, token = self._champions_page(limit, page_token, prefix)
            return [version for version in page if version.segment.startswith(prefix)], token
        except NotThere:
            raise BadPageToken(_NO_TOKEN) from None
        except RegistryUnavailable:
            # MLflow reads a token without much looking: a made-up one ends in an error of Python's or the database's.
            if page_token is None:
                raise
            self.ping()
            raise BadPageToken(_NO_TOKEN) from None

    def _champions_page(self, limit: int, page_token: str | None, prefix: str) -> tuple[list[ModelVersion], str | None]:
        with self.asking():
            page = self.client.search_registered_models(
                names.filter_for_prefix(prefix), max_results=limit, order_by=["name ASC"], page_token=page_token
            )
            served = [self._served_version(model) for model in page if CHAMPION in model.aliases]
        token: str | bytes | None = page.token  # MLflow's databases give bytes, whatever its types say
        return served, token.decode() if isinstance(token, bytes) else token or None

    def version(self, segment: str, number: int) -> ModelVersion:
        """One version. Raises UnknownSegment or UnknownVersion."""
        try:
            with self.asking():
                return self._version_of(model_name(segment), number)
        except NotThere:
            self._look_for(segment)
            raise UnknownVersion(f"segment {segment!r} has no version {number}") from None

    def versions(self, segment: str) -> list[ModelVersion]:
        """All versions, newest first. Raises UnknownSegment."""
        name = self.registered(segment).name
        found: list[ModelVersion] = []
        token: str | None = None
        while True:
            with self.asking():
                page = self.client.search_model_versions(names.filter_for(name), page_token=token)
            found.extend(ModelVersion.of(version) for version in page if version.name == name)
            token = page.token
            if not token:
                return sorted(found, key=lambda version: version.version, reverse=True)

    def aliases(self, segment: str) -> dict[str, int]:
        """Which version each alias names. Raises UnknownSegment."""
        return {alias: int(number) for alias, number in self.registered(segment).aliases.items()}

    def history(self, segment: str) -> list[Promotion]:
        """The recorded moves of the champion, newest first, the present one on top. Raises UnknownSegment."""
        model = self.registered(segment)
        moves = promotions_of(model.tags)
        champion = _champion_number(model)
        if champion is not None and (not moves or moves[-1].version != champion):
            previous = moves[-1].version if moves else None
            moves.append(Promotion("set by hand", champion, previous))
        return moves[::-1]

    def promote(self, segment: str, number: int, reason: str = "") -> Promotion:
        """Make a version the champion, and record which one it replaces.

        Raises UnknownSegment or UnknownVersion. Whether its model loads is the caller's to check: see `load`.
        """
        version = self.version(segment, number)
        previous = _champion_number(self.registered(segment))
        return self._move(segment, "promote", version.version, previous, reason)

    def rollback(self, segment: str, reason: str = "") -> Promotion:
        """Put the champion before the present one back, in one step.

        Where the present champion was set by hand and nothing was recorded, that is the version
        numbered before it. Raises UnknownSegment, NoChampion or NothingToRollBackTo.
        """
        model = self.registered(segment)
        champion = _champion_number(model)
        if champion is None:
            raise NoChampion(f"segment {segment!r} has no champion to roll back")
        numbers = {version.version for version in self.versions(segment)}
        earlier = rollback_target(promotions_of(model.tags), champion, numbers)
        if earlier is None:
            raise NothingToRollBackTo(f"segment {segment!r}: no version stands before champion {champion}")
        return self._move(segment, "rollback", earlier, champion, reason)

    def set_challenger(self, segment: str, number: int) -> None:
        """Let the alias `challenger` name a version."""
        self._set_alias(model_name(segment), CHALLENGER, number)

    def read(self, version: ModelVersion) -> str:
        """A version's Prophet in its own JSON, running nothing that its artifact carries. Raises BadArtifact."""
        return read_at(self.location(version), version, self.uri)

    def location(self, version: ModelVersion) -> str:
        """Where a version's files lie."""
        with self.asking():
            return self._location_of(version.name, version.version)

    def load(self, version: ModelVersion) -> ForecastModel | Prophet:
        """A version's model as arrays, or the Prophet itself where arrays cannot express it. Raises BadArtifact."""
        text = self.read(version)
        try:
            return _arrays_or_prophet(text, version.tags.get("forecast.freq"))
        except ModelError as error:
            raise bad_artifact(version, error) from error

    def registered(self, segment: str) -> RegisteredModel:
        """MLflow's own view of a segment's model, for this room alone. Raises UnknownSegment."""
        try:
            with self.asking():
                return self.client.get_registered_model(model_name(segment))
        except NotThere:
            raise unknown(segment) from None

    def _champion_of(self, name: str) -> ModelVersion:
        return ModelVersion.of(self.client.get_model_version_by_alias(name, CHAMPION))

    def _version_of(self, name: str, number: int) -> ModelVersion:
        return ModelVersion.of(self.client.get_model_version(name, str(number)))

    def _location_of(self, name: str, number: int) -> str:
        return str(self.client.get_model_version_download_uri(name, str(number)))

    def _look_for(self, segment: str) -> None:
        """Raises UnknownSegment."""
        self.registered(segment)

    def _served_version(self, model: RegisteredModel) -> ModelVersion:
        number = model.aliases[CHAMPION]
        for latest in model.latest_versions or ():
            if latest.version == number:
                return ModelVersion.of(latest)
        return self.version(segment_of(model.name), int(number))

    def _move(
        self,
        segment: str,
        action: Literal["promote", "rollback"],
        number: int,
        previous: int | None,
        reason: str,
    ) -> Promotion:
        """Record the move first and set the alias last: what was cut off in between serves as before."""
        move = Promotion(action, number, previous, datetime.now(UTC), reason[:500])
        name = model_name(segment)
        with self.asking():
            self.client.set_registered_model_tag(name, *move.as_tag())
        self._set_alias(name, CHAMPION, number)
        self._forget_old_events(name)
        return move

    def _set_alias(self, name: str, alias: str, number: int) -> None:
        for attempt in range(_ALIAS_ATTEMPTS):
            try:
                with self.asking():
                    self.client.set_registered_model_alias(name, alias, str(number))
                return
            except RegistryUnavailable:
                # Two writers that set a new alias at once collide on its row; the second try finds the row there.
                if attempt == _ALIAS_ATTEMPTS - 1:
                    raise

    def _forget_old_events(self, name: str) -> None:
        with self.asking():
            tags = self.client.get_registered_model(name).tags
            for key in sorted(key for key in tags if key.startswith(EVENT_TAG))[:-KEPT_EVENTS]:
                self.client.delete_registered_model_tag(name, key)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Turn MLflow's errors into ours."""
        try:
            yield
        except (RegistryError, NotThere):
            raise
        except Exception as error:  # MLflow's, SQLAlchemy's, the driver's or requests' own
            if getattr(error, "error_code", None) in _ABSENT:
                raise NotThere(str(error)) from error
            raise store.unavailable(self.uri, error) from error


def read_at(location: str, version: ModelVersion, uri: str) -> str:
    """As `Registry.read`, of a version whose files lie at location, in the store at uri; asks no registry."""
    try:
        return artifacts.read_prophet(location, uri)
    except BadArtifact as error:
        raise bad_artifact(version, error) from error


def bad_artifact(version: ModelVersion, error: Exception) -> BadArtifact:
    """Say which version's files are refused, and why."""
    return BadArtifact(f"segment {version.segment!r} version {version.version}: {error}")


def unknown(segment: str) -> UnknownSegment:
    """Say that nobody registered it."""
    return UnknownSegment(f"no segment {segment!r} is registered")


def _arrays_or_prophet(text: str, freq: str | None) -> ForecastModel | Prophet:
    try:
        return ForecastModel.from_json(text, freq=freq)
    except Inexpressible:
        from forecasting import prophet_model  # takes a second to import, which few versions need to pay

        return prophet_model.from_json(text)


class NotThere(Exception):
    """The store has no such model, version or alias; which of them, the caller knows."""


def _champion_number(model: RegisteredModel) -> int | None:
    number = model.aliases.get(CHAMPION)
    return None if number is None else int(number)
