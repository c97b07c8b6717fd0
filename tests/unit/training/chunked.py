"""Reads a source in chunks in a process of its own and tells how much memory that took, for tests of large sources."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from training.config import SourceConfig
from training.spool import open_history

MEGABYTE = 1 << 20


def chunk_elsewhere(source: SourceConfig, rows: int, extra_columns: list[str] | None = None) -> dict[str, Any]:
    """Chunk a source whose y is the number of its row; what main prints, of a process that ended well."""
    words = [source.model_dump_json(), str(rows), json.dumps(extra_columns or [])]
    paths = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, env=paths, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main(source: str, rows: str, extra_columns: str) -> None:
    """Print how many rows and segments there were, each row once, and the bytes that the largest moment added."""
    seen, segments, before = np.zeros(int(rows), dtype=bool), 0, peak()
    with open_history(SourceConfig.model_validate_json(source), json.loads(extra_columns)) as history:
        for chunk in history.chunks(100):
            numbers = chunk.frame.index.to_numpy()
            assert not seen[numbers].any()
            assert (chunk.frame["y"].to_numpy() == numbers).all()
            seen[numbers] = True
            segments += len(chunk)
    print(json.dumps({"rows": int(seen.sum()), "segments": segments, "bytes": peak() - before}))  # noqa: T201


def peak() -> int:
    """The most bytes that this process has had in memory; unlike getrusage, not its parent's before it was forked."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
