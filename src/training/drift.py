"""Whether a champion forecasts worse than its backtest promised: a pure function of figures, with its reasons.

Why the tests are these: docs/decisions/0017-forecast-log.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Status = Literal["drifted", "steady", "unjudged"]


@dataclass(frozen=True)
class DriftRules:
    """max_ratio: how much of the backtest's MASE the live one may be. min_points: fewer are not judged.

    level: how often chance alone may look like drift, in each of the two tests.
    """

    max_ratio: float = 1.5
    min_points: int = 10
    level: float = 0.01


@dataclass(frozen=True)
class Verdict:
    """drifted: to be trained again. reasons: sentences."""

    status: Status
    reasons: tuple[str, ...]


def judge(
    scaled_errors: Floats, inside: Floats, nominal: float, backtest: Mapping[str, float], rules: DriftRules
) -> Verdict:
    """Compare what a champion's forecasts came to with its backtest.

    scaled_errors: (n,) |forecast - actual| in units of the MASE, NaN where it has none; inside: (n,) 1 where the
    interval held the actual, else 0; both by date. nominal: the share that it is meant to hold. backtest: mase and
    coverage, as far as they are known.
    """
    if len(inside) < rules.min_points:
        return Verdict("unjudged", (f"It takes {rules.min_points} points to judge, and there are {len(inside)}.",))
    lapses = (*_of_accuracy(scaled_errors, backtest, rules), *_of_coverage(inside, nominal, backtest, rules))
    return Verdict("drifted" if lapses else "steady", lapses)


def effective_points(values: Floats) -> float:
    """As how many independent values these count, by their first autocorrelation; at least 2."""
    centred = values - values.mean()
    spread = float(centred @ centred)
    if spread == 0:
        return float(len(values))
    repeated = min(max(float(centred[1:] @ centred[:-1]) / spread, 0.0), 0.95)
    return max(2.0, len(values) * (1 - repeated) / (1 + repeated))


def _of_accuracy(errors: Floats, backtest: Mapping[str, float], rules: DriftRules) -> Iterator[str]:
    """Far above the backtest, and further than chance explains."""
    promised = backtest.get("mase", math.nan)
    live = float(errors.mean())
    if not live > rules.max_ratio * promised:
        return
    points = effective_points(errors)
    least = live - float(stats.t.ppf(1 - rules.level, points - 1)) * float(errors.std(ddof=1)) / math.sqrt(points)
    if least > promised:
        yield f"The live MASE is {live:.3f}, {live / promised:.1f} times the backtest's {promised:.3f}."


def _of_coverage(inside: Floats, nominal: float, backtest: Mapping[str, float], rules: DriftRules) -> Iterator[str]:
    """Below what the interval is meant to hold and what it held in the backtest; too much is no reason to train."""
    expected = min(nominal, backtest.get("coverage", nominal))
    points, held = round(effective_points(inside)), float(inside.mean())
    if stats.binom.cdf(math.floor(held * points), points, expected) < rules.level:
        yield f"The interval held {held:.0%} of the actuals, where {expected:.0%} were to be expected."
