"""The made-up series of the benchmarks: one as a frame and as the body of a request, many as a folder of files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.load import PLACE

SEGMENT = "bench"
POINTS = 731  # two years of days
FIRST_DAY = "2023-01-01"
_BLOCK = 1000  # series that one stream of random numbers makes


def daily_history() -> pd.DataFrame:
    """Two years of days (ds, y) with a trend, a week, a year and noise; the same ones every time."""
    day = np.arange(POINTS)
    noise = np.random.default_rng(20).normal(0.0, 4.0, POINTS)
    week, year = 8.0 * np.sin(2 * np.pi * day / 7), 15.0 * np.cos(2 * np.pi * day / 365.25)
    y = np.round(100.0 + 0.05 * day + week + year + noise, 2)
    return pd.DataFrame({"ds": pd.date_range(FIRST_DAY, periods=POINTS, freq="D"), "y": y})


def many_daily(count: int, seed: int = 1) -> npt.NDArray[np.float64]:
    """Values of series on the days of daily_history, (count, POINTS), positive: slopes that change, a week, a year."""
    random, day = np.random.default_rng(seed), np.arange(POINTS)
    slope = np.cumsum((random.random((count, POINTS)) < 0.01) * random.laplace(0, 0.05, (count, POINTS)), axis=1)
    season = 6 * np.sin(2 * np.pi * day / 7) + 10 * np.sin(2 * np.pi * day / 365.25 + random.random((count, 1)))
    y = 100 + np.cumsum(slope, axis=1) + season + random.normal(0, 3, (count, POINTS))
    y -= np.minimum(y.min(axis=1, keepdims=True) - 1.0, 0.0)
    return y


def write_by_month(count: int, folder: Path) -> None:
    """Write so many series as a warehouse would: a Parquet file a month, each with a row a day of every segment.

    The columns are segment (s00000, s00001, ...), ds and y; the first series are the same whatever the count.
    """
    folder.mkdir()
    days = pd.date_range(FIRST_DAY, periods=POINTS, freq="D")
    names = pd.Index([f"s{number:05d}" for number in range(count)])
    y = np.concatenate([many_daily(_BLOCK, 1 + block) for block in range(-(-count // _BLOCK))])[:count].round(2)
    for month in days.to_period("M").unique():
        inside = np.flatnonzero(days.to_period("M") == month)
        segment = pd.Categorical.from_codes(np.tile(np.arange(count), len(inside)), names)
        table = pd.DataFrame({"segment": segment, "ds": days[inside].repeat(count), "y": y[:, inside].T.ravel()})
        table.to_parquet(folder / f"{month}.parquet", index=False)


def history_body(model_id: str, periods: int, *, fresh: bool = False) -> str:
    """Write the JSON of a request that brings the history.

    fresh: the last value gets PLACE among its decimals, so that every request has another content.
    """
    frame = daily_history()
    data = [{"ds": f"{ds:%Y-%m-%d}", "y": float(y)} for ds, y in zip(frame["ds"], frame["y"], strict=True)]
    body = json.dumps({"model_id": model_id, "periods": periods, "data": data})
    if not fresh:
        return body
    last = json.dumps(data[-1])
    # The closing 1 keeps 0.10 and 0.100, which are the same number, from being two requests.
    return body.replace(last, last.replace("}", "")[: last.rindex(" ") + 1] + f"99.{PLACE}1}}")
