"""Where the registry is: an MLflow server or database that is named, or the embedded store under mlruns/."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from registry.errors import RegistryUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

EMBEDDED = Path("mlruns")
_KNOCK_SECONDS = 5
_LOCKS = 64  # stores that share one wait for each other, for a second or two
DATABASE_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql")


def tracking_uri(given: str | None = None) -> str:
    """Say which store is meant: the given one, else $MLFLOW_TRACKING_URI, else mlruns/mlflow.db."""
    uri = given or os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        return uri
    EMBEDDED.mkdir(exist_ok=True)
    return f"sqlite:///{EMBEDDED.absolute()}/mlflow.db"


def fail_fast() -> None:
    """Let this process give up on a tracking server after seconds, where MLflow would go on for minutes.

    Only for what the environment does not set already. For those who have a fallback, such as a service.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


def connect(uri: str) -> MlflowClient:
    """Open a client on the store.

    Raises RegistryUnavailable when the store cannot be opened (for a database: at once).
    """
    try:
        knock(uri)
        from mlflow import MlflowClient

        with _one_at_a_time(uri), quiet_mlflow():
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
    except Exception as error:  # MLflow hands through whatever SQLAlchemy or the driver raises
        raise RegistryUnavailable(f"the registry at {without_password(uri)} does not open: {error}") from error


def knock(uri: str) -> None:
    """Reach a database server once, in seconds or not at all: MLflow would go on trying for a minute and a half."""
    if uri.startswith("sqlite") or not uri.startswith(DATABASE_SCHEMES):
        return
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, connect_args=patience(uri))
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def patience(uri: str) -> dict[str, int]:
    """What SQLAlchemy tells a database's driver, so that it gives up after seconds on a server that does not answer."""
    return {"connect_timeout": _KNOCK_SECONDS} if uri.startswith(("postgresql", "mysql")) else {}


@contextlib.contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Keep MLflow's progress messages from the terminal; its errors stay errors."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _one_at_a_time(uri: str) -> Iterator[None]:
    """Let only one process of this user open a database: MLflow makes its tables then, and two at once spoil them."""
    if not uri.startswith(DATABASE_SCHEMES):
        yield
        return
    # A file for each store would stay for good: removing one that others wait for would let two in.
    number = hashlib.sha256(uri.encode()).digest()[0] % _LOCKS
    with (own_folder() / f"opening-{number:02d}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # closing the file lets go of it
        yield


def own_folder() -> Path:
    """A folder in the temp folder for what this user's processes share.

    Raises OSError where it cannot be made, or is not this user's alone.
    """
    path = Path(tempfile.gettempdir()) / f"prophet-serving-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{path} is no folder of this user's own")
    return path


def ensure_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Find or create the experiment, and say its id.

    Beside a database that we reach ourselves the artifacts go to mlruns/artifacts/ (or
    $MLFLOW_DEFAULT_ARTIFACT_ROOT); a tracking server decides for itself.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if uri.startswith(DATABASE_SCHEMES):
        root = os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT")
        location = f"{root.rstrip('/')}/{name}" if root else (_beside(uri) / "artifacts" / name).as_uri()
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another job was faster
        if found is None:
            raise
        return str(found.experiment_id)


def unavailable(uri: str, error: Exception) -> RegistryUnavailable:
    """Say which store does not answer, and what it was that came instead."""
    where = without_password(uri)
    return RegistryUnavailable(f"the registry at {where} does not answer: {type(error).__name__}: {error}")


def without_password(uri: str) -> str:
    """Write a URI without the password in it, for messages."""
    scheme, separator, rest = uri.partition("://")
    if "@" not in rest:
        return uri
    credentials, _, host = rest.rpartition("@")
    return f"{scheme}{separator}{credentials.split(':')[0]}@{host}"


def with_driver(url: str) -> str:
    """Name the driver that the project installs where a PostgreSQL URL names none."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg{separator}{rest}" if scheme in {"postgres", "postgresql"} else url


def _beside(uri: str) -> Path:
    """The folder that artifacts share with the database: an SQLite file's own, else mlruns/."""
    if uri.startswith("sqlite:///"):
        return Path(uri.removeprefix("sqlite:///")).absolute().parent
    return EMBEDDED.absolute()
