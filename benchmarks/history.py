"""The one series of the benchmarks, as a frame and as the body of a request."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from benchmarks.load import PLACE

SEGMENT = "bench"
POINTS = 731  # two years of days


def daily_history() -> pd.DataFrame:
    """Two years of days (ds, y) with a trend, a week, a year and noise; the same ones every time."""
    day = np.arange(POINTS)
    noise = np.random.default_rng(20).normal(0.0, 4.0, POINTS)
    week, year = 8.0 * np.sin(2 * np.pi * day / 7), 15.0 * np.cos(2 * np.pi * day / 365.25)
    y = np.round(100.0 + 0.05 * day + week + year + noise, 2)
    return pd.DataFrame({"ds": pd.date_range("2023-01-01", periods=POINTS, freq="D"), "y": y})


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
