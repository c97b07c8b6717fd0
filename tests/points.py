"""Histories for requests that bring their own."""

from __future__ import annotations

import pandas as pd


def points(number: int, freq: str = "D") -> list[dict[str, str | float]]:
    """So many values from 2024 on, with a week or so in them and noise.

    Without noise only cmdstan finds a fit, which takes it seconds where the machine has other work.
    """
    times = pd.date_range("2024-01-01", periods=number, freq=freq).strftime(
        "%Y-%m-%d" if freq == "D" else "%Y-%m-%dT%H:%M:%S"
    )
    return [{"ds": ds, "y": 100 + place % 7 + place * 37 % 11 / 10} for place, ds in enumerate(times)]
