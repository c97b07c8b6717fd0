"""A list of segments in a file, one a line: what `prophetctl score` writes and a job's `segments_from` reads.

A key is written as it is, or, where that would not read back, as a JSON text in quotes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from training.errors import ConfigError


def write_list(path: Path, segments: Iterable[str]) -> None:
    """Write a file of segments. Raises OSError."""
    lines = [f"{_line(segment)}\n" for segment in segments]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def read_list(path: Path) -> frozenset[str]:
    """The segments of a file; empty lines are none. Raises ConfigError when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return frozenset(_segment(line) for line in text.split("\n") if line.strip())
    except (OSError, ValueError) as error:  # of encoding, or of JSON
        raise ConfigError(f"cannot read the list of segments {path}: {error}") from error


def _line(segment: str) -> str:
    plain = segment == segment.strip() and segment.isprintable() and not segment.startswith('"')
    return segment if plain else json.dumps(segment)


def _segment(line: str) -> str:
    line = line.strip()
    return str(json.loads(line)) if line.startswith('"') else line
