"""Scores of many series in a few figures: means over sets, and changes against others with their uncertainty.

Scores are a frame with a row for each series and way of forecasting it: group (its set), name, cadence, way, and the
measures of `accuracy_scores.Score`. The origins of one series share its name up to an "@".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.frame import table

Floats = npt.NDArray[np.float64]

MEASURES = ("mase", "smape", "coverage", "interval", "cpu")
_RESAMPLES = 2000
_SPREAD = (0.025, 0.975)


class Change(NamedTuple):
    """By how many percent our mean is off theirs, and between what it lies in 95 % of the bootstrap's resamples."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f})"


def paired(scores: pd.DataFrame, measure: str, ours: str, theirs: str) -> pd.DataFrame:
    """One measure of two ways, columns `ours` and `theirs`, of the series where both are finite; by group and name."""
    finite = scores[scores["way"].isin((ours, theirs)) & np.isfinite(scores[measure])]
    wide: pd.DataFrame = finite.pivot(index=["group", "name"], columns="way", values=measure)
    return wide.reindex(columns=[ours, theirs]).dropna()


def means(both: pd.DataFrame) -> tuple[float, float]:
    """Our mean and theirs, over the sets, which weigh the same."""
    ours, theirs = both.groupby(level="group").mean().mean()
    return float(ours), float(theirs)


def change(both: pd.DataFrame) -> Change:
    """The change from their mean to ours in each set, mean over the sets. What is drawn anew are the series of a set.

    Source: Efron and Tibshirani (1993), "An Introduction to the Bootstrap", section 13.3, the percentile interval.
    """
    random = np.random.default_rng(0)
    whole, drawn = [], []
    for _, own in both.groupby(level="group"):
        sums = own.groupby(own.index.get_level_values("name").str.split("@").str[0]).sum().to_numpy()
        whole.append(_ratio(sums.sum(axis=0)))
        drawn.append(_ratio(sums[random.integers(0, len(sums), (_RESAMPLES, len(sums)))].sum(axis=1)))
    low, high = np.quantile(np.mean(drawn, axis=0), _SPREAD)
    return Change(*(100.0 * (float(ratio) - 1.0) for ratio in (np.mean(whole), low, high)))


def _ratio(sums: Floats) -> Floats:
    """Ours over theirs, along the last axis."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def sets_table(scores: pd.DataFrame) -> str:
    """Every set and way, each measure's mean over the series where it is finite."""
    finite = scores.replace([np.inf, -np.inf], np.nan)
    grouped = finite.groupby(["group", "way"], sort=False)
    sizes, found = grouped.size(), grouped[list(MEASURES)].mean()
    lines = [
        [group, way, str(sizes[group, way]), *(f"{value:.3g}" for value in values)]
        for (group, way), values in zip(found.index, found.to_numpy(), strict=True)
    ]
    return table(("series", "way", "n", "MASE", "sMAPE %", "80 % coverage", "interval score", "CPU ms"), lines)


def changes_table(scores: pd.DataFrame, ours: str, others: tuple[str, ...], label: str) -> str:
    """The change of MASE and of the interval score against others, over all sets together and in each."""
    lines = []
    for name in (label, *dict.fromkeys(scores["group"])):
        own = scores if name == label else scores[scores["group"] == name]
        for way in others:
            both = {measure: paired(own, measure, ours, way) for measure in ("mase", "interval")}
            if len(both["mase"]):
                cells = (str(change(each)) if len(each) else "-" for each in both.values())
                lines.append([name, way, str(len(both["mase"])), *cells])
    return table(("series", "against", "n", "MASE, %", "interval score, %"), lines)
