"""A history that came with a request, on its way to a runner."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from serving.schemas import Point


class InlineHistory(NamedTuple):
    """A history column by column, as it was sent."""

    ds: list[str]
    y: list[float]

    @classmethod
    def of(cls, data: Sequence[Point]) -> InlineHistory:
        """What a request brings."""
        return cls([point.ds for point in data], [point.y for point in data])

    @property
    def digest(self) -> bytes:
        """Tells histories apart by what was sent, before any of the work of reading it."""
        content = hashlib.sha256(array("d", self.y).tobytes())
        content.update(bytes(map(len, self.ds)))  # none is longer than 40 letters; so the texts need no marks between
        content.update("".join(self.ds).encode())
        return content.digest()
