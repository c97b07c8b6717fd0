"""Arrays in one file that every process maps into its memory.

Layout: the magic bytes; the length of the header as 8 little-endian bytes; the header in JSON, which also says how many
bytes each array has; the arrays, each beginning on a multiple of 64 bytes; the CRC-32 of all before it as 4 bytes.
"""

from __future__ import annotations

import glob
import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forecasting.errors import ModelError

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

_ALIGNMENT = 64
_SIZES = "bytes"  # the header's own key; its caller has the others
_TRAILER = 4
_PAGE = 4096  # bytes, the smallest that processors have
_UNFINISHED = ".tmp"


def save_arrays(path: Path, magic: bytes, header: Mapping[str, Any], arrays: Mapping[str, Sequence[Array]]) -> None:
    """Write arrays, each given as the pieces that follow one another in it, so that no copy of a whole is needed.

    The file is written beside path, forced to the disk and renamed into place: a reader sees the old one or the new.
    Raises OSError, and leaves what was there as it was.
    """
    sizes = {name: sum(piece.nbytes for piece in pieces) for name, pieces in arrays.items()}
    head = json.dumps({**header, _SIZES: sizes}).encode()
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        with unfinished.open("wb") as file:
            checksum = 0
            for piece in _layout(magic + len(head).to_bytes(8, "little") + head, arrays.values()):
                file.write(piece)
                checksum = zlib.crc32(piece, checksum)
            file.write(checksum.to_bytes(_TRAILER, "little"))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what processes left that were killed while they wrote path; for when nobody writes. Raises OSError."""
    for left in path.parent.glob(f"{glob.escape(path.name)}.*{_UNFINISHED}"):
        left.unlink(missing_ok=True)


def _layout(head: bytes, arrays: Iterable[Sequence[Array]]) -> Iterable[bytes | memoryview]:
    yield head
    position = len(head)
    for pieces in arrays:
        padding = -position % _ALIGNMENT
        yield bytes(padding)
        position += padding
        for piece in pieces:
            position += piece.nbytes
            if piece.nbytes:
                yield np.ascontiguousarray(piece).view(np.uint8).reshape(-1).data


def open_arrays(path: Path, magic: bytes, *, verify: bool = False) -> tuple[dict[str, Any], dict[str, Bytes]]:
    """The header of a file and its arrays as bytes, mapped and not to be written to.

    verify: also compare its checksum; without that only its length is looked at. Either way the mapping knows all of
    its pages then, so that no later reader waits for one: across 100,000 models nearly every forecast would.
    Raises ModelError for a file of another magic and for one that is not whole, OSError where there is none.
    """
    # An ordinary array over the mapping: every view of a memmap costs five times as much to make.
    mapped = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray) if path.stat().st_size else _nothing()
    start = len(magic) + 8
    if mapped[: len(magic)].tobytes() != magic:
        kind = magic.decode().strip()
        raise ModelError(f"{path} does not begin with {kind!r}: it is another file, or one of another version")
    length = int.from_bytes(mapped[len(magic) : start].tobytes(), "little")
    try:
        header: dict[str, Any] = json.loads(mapped[start : start + length].tobytes())
        sizes = {str(name): int(size) for name, size in header.pop(_SIZES).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is damaged: its header cannot be read: {error}") from error
    arrays, end = {}, start + length
    for name, size in sizes.items():
        first = end + -end % _ALIGNMENT
        end = first + size
        arrays[name] = mapped[first:end]
    if len(mapped) != end + _TRAILER:
        raise ModelError(f"{path} is damaged: it has {len(mapped)} bytes where its header speaks of {end + _TRAILER}")
    if not verify:
        mapped[::_PAGE].sum()  # as the checksum's, this reading does not hold the interpreter's lock
    elif zlib.crc32(mapped[:end].data) != int.from_bytes(mapped[end:].tobytes(), "little"):
        raise ModelError(f"{path} is damaged: its checksum is wrong")
    return header, arrays


def _nothing() -> Array:
    return np.empty(0, dtype=np.uint8)
