"""How a training job grows: 200, 2,000 and 20,000 segments of 731 days, registered and promoted on this machine.

`python -m benchmarks.scale [--store postgresql] [--segments 200 2000 20000]`. Each size is one `prophetctl train` of
a folder of Parquet files, with the default recipe and three cutoffs, into an empty store. The small sizes run three
times, and their median counts. The folder of all this is a temporary one, of some 2 GB for 20,000 segments.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.frame import Row, busy_percent, compare, options, report, table
from benchmarks.history import write_by_month
from benchmarks.jobs import STORES, Ran, Store, empty_store, train
from forecasting.state import ForecastModel
from registry.registry import Registry

FULL, QUICK = (200, 2_000, 20_000), (8, 24)
REPEATS = 3  # of all sizes but the largest
FAR = 100_000
LINEAR, MEMORY_GB = 0.15, 4
_LOADED = 20  # champions of each store that are really loaded


@dataclass(frozen=True)
class Size:
    """What a job of so many segments took, and what it left."""

    segments: int
    seconds: float
    cpu: float
    peak: int
    database: int
    files: int
    file_bytes: int
    disk_bytes: int


def main() -> int:
    """Train every size and report."""
    own, rest = _flags()
    given = options(__doc__ or "", rest)
    counts = sorted(own.segments or (QUICK if given.quick else FULL))
    print(f"Busy with other things before the run: {busy_percent():.0f} % of the processor.")
    sizes = []
    for count in counts:
        repeats = 1 if given.quick or count == counts[-1] else REPEATS
        sizes.append(_measured(count, own.store, repeats))
        print(f"{count:,} segments: {sizes[-1].seconds:.0f} s", flush=True)
    print(f"\n{_table(sizes, far=not given.quick)}")
    return report(f"scale-{own.store}", list(_rows(sizes)), given)


def _flags() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--store", choices=STORES, default=STORES[0])
    parser.add_argument("--segments", type=int, nargs="+")
    return parser.parse_known_args()


def _measured(count: int, kind: str, repeats: int) -> Size:
    """Train so many segments, a few times over, each time into a store of its own."""
    with tempfile.TemporaryDirectory(prefix="prophet-serving-scale-") as folder:
        source = Path(folder) / "history"
        write_by_month(count, source)
        sizes = [_train(count, source, kind) for _ in range(repeats)]
    return sorted(sizes, key=lambda size: size.seconds)[repeats // 2]


def _train(count: int, source: Path, kind: str) -> Size:
    with empty_store(kind) as store:
        ran = train(source, store, ["--cutoffs", "3"])
        _check(count, store, ran)
        return Size(count, ran.seconds, ran.cpu_seconds, ran.peak_bytes, store.database_bytes(), *store.artifacts())


def _check(count: int, store: Store, ran: Ran) -> None:
    """Every segment has a champion, and some of them, spread evenly, load. Raises RuntimeError."""
    registry, champions, token = Registry(store.uri), [], None
    while True:
        page, token = registry.champions(1000, token)
        champions += page
        if not token:
            break
    if len(champions) != count or ran.report["totals"]["trained"] != count:
        raise RuntimeError(f"{len(champions)} of {count} segments have a champion: {ran.report['totals']}")
    for champion in champions[:: max(1, count // _LOADED)]:
        if not isinstance(registry.load(champion), ForecastModel):
            raise RuntimeError(f"the champion of {champion.segment} does not load as arrays")


def _table(sizes: Sequence[Size], far: bool) -> str:
    """What each size took and left, and what the largest of all would, by what the last step added per segment."""
    heads = (
        *("segments", "wall time s", "segments/s", "ms a further segment", "CPU s", "CPU ms a further segment"),
        *("peak memory MB", "database MB", "model files", "their MB", "on disk MB"),
    )
    lines = [_line(size, before) for size, before in zip(sizes, [None, *sizes], strict=False)]
    if far and len(sizes) > 1:
        before, last = sizes[-2:]
        lines.append([f"{FAR:,} (extrapolated)", *_line(_extrapolated(before, last), last)[1:]])
    return table(heads, lines)


def _line(size: Size, before: Size | None) -> list[str]:
    wall, cpu = (
        ("-", "-") if before is None else (f"{1000 * _further(before, size, of):.2f}" for of in ("seconds", "cpu"))
    )
    megabytes = [f"{amount / 1e6:,.0f}" for amount in (size.peak, size.database, size.file_bytes, size.disk_bytes)]
    return [
        *(f"{size.segments:,}", f"{size.seconds:,.1f}", f"{size.segments / size.seconds:,.1f}", wall),
        *(f"{size.cpu:,.1f}", cpu),
        *(*megabytes[:2], f"{size.files:,}", *megabytes[2:]),
    ]


def _further(before: Size, after: Size, of: str) -> float:
    """Seconds that each segment took by which one job is larger than the other: what every job starts with is out."""
    return float(getattr(after, of) - getattr(before, of)) / (after.segments - before.segments)


def _extrapolated(before: Size, last: Size) -> Size:
    """The largest size of all, on the line through the last two."""

    def at(name: str) -> float:
        low, high = float(getattr(before, name)), float(getattr(last, name))
        return high + (high - low) / (last.segments - before.segments) * (FAR - last.segments)

    whole = {name: int(at(name)) for name in ("peak", "database", "files", "file_bytes", "disk_bytes")}
    return Size(FAR, at("seconds"), at("cpu"), **whole)


def _rows(sizes: Sequence[Size]) -> Iterator[Row]:
    """The figures that are held to a bar."""
    last = sizes[-1]
    name = f"peak memory of all processes, {last.segments:,} segments"
    yield compare(name, "GB", ours=last.peak / 1e9, peer="the bound", theirs=MEMORY_GB, better="less", bar=1.0)
    for small, middle, large in zip(sizes, sizes[1:], sizes[2:], strict=False):
        for kind, of in (("wall", "seconds"), ("CPU", "cpu")):
            yield compare(
                f"{kind} time of a further segment, {middle.segments:,} to {large.segments:,}",
                "ms",
                ours=1000 * _further(middle, large, of),
                peer=f"{small.segments:,} to {middle.segments:,}",
                theirs=1000 * _further(small, middle, of),
                better="less",
                bar=1.0 / (1.0 + LINEAR),
            )


if __name__ == "__main__":
    sys.exit(main())
