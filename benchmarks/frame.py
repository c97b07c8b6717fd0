"""The frame of every benchmark: rows that compare ours with theirs, a Markdown table, a JSON file.

A benchmark is a module with a `main()` that collects rows with `compare` and hands them to `report`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("bentoml", "fastapi", "mlflow", "numpy", "pandas", "prophet", "uvicorn")
_GIB = 2**30


@dataclass(frozen=True)
class Row:
    """One comparison of one run: `ratio` says how many times better ours is than theirs.

    ours and theirs are in `unit`; peer says who they are. `bar` is the ratio that the row is held to, or
    None for a row that only informs, which always meets.
    """

    name: str
    unit: str
    ours: float
    peer: str
    theirs: float
    ratio: float
    bar: float | None
    meets: bool


def compare(
    name: str,
    unit: str,
    *,
    ours: float,
    peer: str,
    theirs: float,
    better: Literal["more", "less"],
    bar: float | None = None,
) -> Row:
    """Make a row out of two figures.

    better: "more" for throughput and the like (ratio = ours / theirs), "less" for latency, memory and
    errors of a model (ratio = theirs / ours). The bar is held against the exact ratio; figures are rounded
    to four digits after that.
    Raises ValueError for a figure that cannot be compared: negative, not finite, or a zero to divide by.
    """
    if not all(math.isfinite(figure) and figure >= 0 for figure in (ours, theirs)):
        raise ValueError(f"{name}: {ours} and {theirs} {unit} cannot be compared")
    over, under = (ours, theirs) if better == "more" else (theirs, ours)
    if under == 0:
        raise ValueError(f"{name}: nothing to compare with, {'theirs' if better == 'more' else 'ours'} is 0 {unit}")
    ratio = over / under
    meets = bar is None or ratio >= bar
    return Row(name, unit, _round(ours), peer, _round(theirs), _round(ratio), bar, meets)


def machine() -> dict[str, str | int | float | dict[str, str]]:
    """Describe what the figures were measured on, without anything that says whose machine it is."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB, 1),
        "os": _os_name(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def busy_percent(seconds: float = 1.0) -> float:
    """How much of the processor others use right now; much more than a few percent spoils a run."""
    return float(psutil.cpu_percent(seconds))


def markdown(rows: Sequence[Row]) -> str:
    """Write the rows as a Markdown table."""
    header = ("name", "unit", "ours", "peer", "theirs", "times better", "bar", "meets")
    lines = [
        (
            row.name,
            row.unit,
            f"{row.ours:,g}",
            row.peer,
            f"{row.theirs:,g}",
            f"{row.ratio:,g}",
            "-" if row.bar is None else f"{row.bar:g}",
            "-" if row.bar is None else "yes" if row.meets else "**no**",
        )
        for row in rows
    ]
    return table(header, lines)


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write any cells as a Markdown table."""
    written = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in written)


def options(description: str, arguments: Sequence[str] | None = None, **own: type) -> argparse.Namespace:
    """Read the flags that all benchmarks share.

    `quick` (bool) asks for a short run that shows that everything works; `results` (Path or None) is the
    folder to write to, which a quick run has only when it is named. own: the name and type of flags with a value that
    only this benchmark has; None where one is not given.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a short run; writes no file unless --results is given")
    parser.add_argument("--results", type=Path, help=f"the folder to write to (default: benchmarks/{RESULTS.name})")
    for name, kind in own.items():
        parser.add_argument(f"--{name}", type=kind)
    given = parser.parse_args(arguments)
    if given.results is None and not given.quick:
        given.results = RESULTS
    return given


def report(name: str, rows: Sequence[Row], given: argparse.Namespace) -> int:
    """Print the table, write `NAME.json` where the options say so, and give the exit code.

    The exit code is 1 when a row misses its bar in a full run. A quick run is too short to judge by.
    """
    described = machine()
    print(f"\n## {name}\n\n{markdown(rows)}\n")
    print(f"Measured on {described['cpu']}, {described['cores']} cores, {described['memory_gib']} GiB.")
    if given.results is not None:
        print(f"Written to {write(name, rows, given.results).name}.")
    missed = [f"{row.name} (against {row.peer})" for row in rows if not row.meets]
    if missed:
        print(f"Below the bar: {'; '.join(missed)}.", file=sys.stderr)
    return 1 if missed and not given.quick else 0


def write(name: str, rows: Sequence[Row], folder: Path) -> Path:
    """Write the machine and the rows to `folder/NAME.json` and say where that is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    content = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _round(figure: float) -> float:
    """Keep four significant digits; a benchmark has no more."""
    return float(f"{figure:.4g}")


def _cpu_model() -> str:
    """The processor's name as Linux gives it, else its architecture."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _os_name() -> str:
    """The name of the distribution, else of the system."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _version(package: str) -> str | None:
    """The installed version of a package, None if it is absent."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
