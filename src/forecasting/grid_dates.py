"""What follows from dates alone, or from dates and shared features: worked out once for all models that ask for it.

Serving asks for the same dates all day: those after the histories of one job, for thousands of segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from forecasting.features import MODES, NANOSECONDS_A_DAY, FeatureTable
from forecasting.interval_table import INTENSITY_STEPS, RATIO_STEPS
from forecasting.trend import Floats

Integers = npt.NDArray[np.int64]
_KEPT_BYTES = 16 * 2**20  # of either kind


@dataclass(frozen=True, eq=False)
class Horizon:
    """Dates (n,) as seen from the end of a history, or those of Q requests, (Q, n), each seen from the end of its own.

    days: how many of them after the end, negative before it; cubes: those to the third power. down, right: their
    logarithms in steps of the table of half-widths. ahead: whether the dates ascend and all lie after the end; if not,
    the logarithms mean nothing, nor does what the first and the last date have of all these: numbers, columns (Q, 1)
    of Q requests, as ahead is.
    """

    days: Floats
    cubes: Floats
    down: Floats
    right: Floats
    ahead: Any
    first_day: Any
    first_down: Any
    last_down: Any
    first_right: Any
    last_right: Any

    @classmethod
    def of(cls, ds: Integers, end: int) -> Horizon:
        """end: of the history; it and the dates in nanoseconds."""
        days = (ds - end) / NANOSECONDS_A_DAY
        ahead = bool(len(days) and days[0] > 0.0 and (np.diff(ds) > 0).all())
        logarithm = np.log(days) if ahead else np.zeros(len(days))
        down, right = logarithm * INTENSITY_STEPS, logarithm * RATIO_STEPS
        places = (days, 0), (down, 0), (down, -1), (right, 0), (right, -1)
        edges = (float(values[place]) if ahead else 0.0 for values, place in places)
        return cls(days, days * days * days, down, right, ahead, *edges)

    @classmethod
    def joined(cls, each: Sequence[Horizon]) -> Horizon:
        """Those of Q requests; the first as it is, where all are the same."""
        if all(one is each[0] for one in each):
            return each[0]
        days, cubes, down, right = (
            np.stack([getattr(one, name) for one in each]) for name in ("days", "cubes", "down", "right")
        )
        edges = days[:, :1], down[:, :1], down[:, -1:], right[:, :1], right[:, -1:]
        return cls(days, cubes, down, right, np.array([[one.ahead] for one in each]), *edges)

    @property
    def nbytes(self) -> int:
        """Of the arrays and of the dates they were made of."""
        return 5 * self.days.nbytes


@dataclass(frozen=True, eq=False)
class Effect:
    """The terms of one mode at some dates, or at those of Q requests. matrix: (n, columns) or (Q, n, columns); used:
    which of a model's coefficients they take, (K,), None for all of them.
    """

    matrix: Floats
    used: npt.NDArray[np.bool_] | None

    def of(self, coefficients: Floats) -> Floats:
        """(n,) or (Q, n): what the terms of a model (K,), or of Q models (Q, 1, K), add up to, scaled.

        By dot products and not as one product of matrices, whose last bits depend on how many rows there are.
        """
        weights = coefficients if self.used is None else np.ascontiguousarray(coefficients[..., self.used])
        total: Floats = np.vecdot(weights, self.matrix)
        return total


@dataclass(frozen=True, eq=False)
class Design:
    """The effects of either mode at some dates, None where a mode has no terms."""

    additive: Effect | None
    multiplicative: Effect | None

    @classmethod
    def of(cls, ds: Integers, features: FeatureTable) -> Design:
        """features: without regressors and conditions."""
        columns = features.calendar_design(ds)
        effects = []
        for mode in MODES:
            used = features.membership[:, features.components.index(f"{mode}_terms")]
            matrix = np.ascontiguousarray(columns[:, used[: features.n_calendar]])
            effects.append(Effect(matrix, None if used.all() else used) if used.any() else None)
        return cls(*effects)

    @classmethod
    def joined(cls, each: Sequence[Design]) -> Design:
        """Those of Q requests of the same features; the first as it is, where all are the same."""
        if all(one is each[0] for one in each):
            return each[0]
        return cls(_stacked([one.additive for one in each]), _stacked([one.multiplicative for one in each]))

    @property
    def nbytes(self) -> int:
        """Of the matrices."""
        return sum(own.matrix.nbytes for own in (self.additive, self.multiplicative) if own is not None)


def _stacked(each: Sequence[Effect | None]) -> Effect | None:
    effects = [one for one in each if one is not None]
    return Effect(np.stack([one.matrix for one in effects]), effects[0].used) if effects else None


Work = TypeVar("Work", Horizon, Design)


class _Kept(Generic[Work]):
    """What was worked out lately, by the identities of what it was worked out of, which are held with it."""

    def __init__(self) -> None:
        self._kept: LRUCache[tuple[int, int], tuple[Work, object]] = LRUCache(
            _KEPT_BYTES, getsizeof=lambda kept: kept[0].nbytes
        )
        self._lock = Lock()  # threads may forecast side by side

    def find(self, key: tuple[int, int]) -> Work | None:
        with self._lock:
            found = self._kept.get(key)
        return None if found is None else found[0]

    def keep(self, key: tuple[int, int], work: Work, ds: Integers, other: object) -> Work:
        """Keep the work on dates that nobody can change, unless it is large."""
        if not ds.flags.writeable and work.nbytes <= _KEPT_BYTES // 4:
            with self._lock:
                self._kept[key] = work, (ds, other)
        return work


_horizons: _Kept[Horizon] = _Kept()
_designs: _Kept[Design] = _Kept()


def horizon_of(ds: Integers, end: int) -> Horizon:
    """`Horizon.of`, worked out once."""
    key = id(ds), end
    return _horizons.find(key) or _horizons.keep(key, Horizon.of(ds, end), ds, None)


def design_of(ds: Integers, features: FeatureTable) -> Design:
    """`Design.of`, worked out once."""
    key = id(ds), id(features)
    return _designs.find(key) or _designs.keep(key, Design.of(ds, features), ds, features)
