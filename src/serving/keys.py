"""API keys: a file of their hashes, and who is let in by it.

A key is `fk_<id>_<secret>`. The secret has 192 random bits, so the key's SHA-256 says nothing that could be guessed
at; a slow hash is for passwords, which people choose, and would let anybody keep this service busy with wrong keys.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from serving.access import Caller

log = logging.getLogger("serving.keys")

PREFIX = "fk_"
_LOOK_AGAIN_SECONDS = 1.0

Rate = Annotated[float, Field(gt=0, le=1_000_000)]


class KeyFileError(Exception):
    """The file of keys cannot be read or written, or has no such key; the message says which and why."""


class ApiKey(BaseModel):
    """What is kept of a key: everything but its secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="Of the whole key, in hexadecimal.")]
    segments: tuple[Annotated[str, Field(min_length=1, max_length=250)], ...]
    rate: Rate | None = None
    inline: bool = True
    metrics: bool = False
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def caller(self) -> Caller:
        """Whom this key lets in."""
        return Caller(f"key:{self.id}", self.segments, self.rate, self.inline, self.metrics)

    def state(self, now: datetime) -> str:
        """active, expired or revoked."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


_KEYS = TypeAdapter(list[ApiKey])


def read_keys(path: Path) -> list[ApiKey]:
    """All keys of a file, in the order of their making; none where there is no such file. Raises KeyFileError."""
    try:
        return _KEYS.validate_python(json.loads(path.read_bytes())["keys"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = _first_fault(error) if isinstance(error, ValidationError) else repr(error)
        raise KeyFileError(f"the keys in {path} cannot be read: {reason}") from error


def create_key(
    path: Path,
    name: str,
    segments: tuple[str, ...],
    *,
    rate: float | None = None,
    inline: bool = True,
    metrics: bool = False,
    expires: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and add it to the file. Gives what is kept of it, and the key itself, which nobody can give again.

    Raises KeyFileError.
    """
    key_id = secrets.token_hex(6)
    credential = f"{PREFIX}{key_id}_{secrets.token_hex(24)}"
    try:
        key = ApiKey(
            id=key_id,
            name=name,
            sha256=_digest(credential).hex(),
            segments=segments,
            rate=rate,
            inline=inline,
            metrics=metrics,
            created=_now(),
            expires=expires,
        )
    except ValidationError as error:
        raise KeyFileError(f"no such key can be made: {_first_fault(error)}") from error
    with _changing(path) as keys:
        keys.append(key)
    return key, credential


def revoke_key(path: Path, key_id: str) -> ApiKey:
    """Let a key open nothing any more; it stays in the file, to be seen. Raises KeyFileError."""
    with _changing(path) as keys:
        for place, key in enumerate(keys):
            if key.id == key_id:
                keys[place] = key if key.revoked else key.model_copy(update={"revoked": _now()})
                return keys[place]
    raise KeyFileError(f"{path} has no key {key_id!r}; `prophetctl keys list` shows those it has")


class KeyRing:
    """The keys of a file, read again when it changes: at most once a second somebody looks.

    A file that is gone lets nobody in. One that cannot be read any more leaves the keys as they were, and is logged.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._look_at = 0.0
        self._seen: object = None
        self._entries: dict[bytes, _Entry] = {}
        self._read_anew(first=True)

    def find(self, credential: str) -> Caller | None:
        """The caller whose key this is, None for any other text.

        A key is found by its digest, not by its id, so that a wrong secret takes the very path of an unknown id.
        """
        if time.monotonic() >= self._look_at:
            self._read_anew()
        digest = _digest(credential)
        kept, until, caller = self._entries.get(digest[:_INDEXED], _NO_ENTRY)
        if hmac.compare_digest(kept, digest) and self._now() < until:
            return caller
        return None

    def _read_anew(self, *, first: bool = False) -> None:
        self._look_at = time.monotonic() + _LOOK_AGAIN_SECONDS
        try:
            stat = self._path.stat()
            seen: object = stat.st_mtime_ns, stat.st_size, stat.st_ino
        except OSError as error:
            seen = type(error)
        if seen == self._seen and not first:
            return
        self._seen = seen
        try:
            keys = read_keys(self._path)
        except KeyFileError as error:
            if first:
                raise
            log.error("the keys stay as they were: %s", error)
            return
        entries = (_entry(key) for key in keys if key.revoked is None)
        self._entries = {entry[0][:_INDEXED]: entry for entry in entries}
        log.info("%s API keys are valid", len(self._entries))


_Entry = tuple[bytes, float, Caller]  # digest, end in seconds since 1970, whom it lets in
_INDEXED = 8  # bytes of a digest by which it is found; all of it is compared
_NO_ENTRY: _Entry = (bytes(32), 0.0, Caller("nobody", ()))  # nobody knows a text that has this digest


def _entry(key: ApiKey) -> _Entry:
    return bytes.fromhex(key.sha256), key.expires.timestamp() if key.expires else float("inf"), key.caller()


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode(errors="replace")).digest()


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[list[ApiKey]]:
    """Read the keys, let them be changed, and put a new file in the old one's place, one writer at a time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = read_keys(path)
            yield keys
            _replace(path, json.dumps({"keys": _KEYS.dump_python(keys, mode="json")}, indent=2) + "\n")
    except OSError as error:
        raise KeyFileError(f"the keys in {path} cannot be changed: {error}") from error


def _replace(path: Path, text: str) -> None:
    """Write a file aside and rename it into place: for its owner alone, or as the one before was set."""
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 (mkstemp gives a number)
            if path.exists():
                before = path.stat()
                os.fchmod(handle, before.st_mode & 0o777)
                with contextlib.suppress(PermissionError):
                    os.fchown(handle, before.st_uid, before.st_gid)
            file.write(text)
            file.flush()
            os.fsync(handle)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}, not {fault['input']!r}"
