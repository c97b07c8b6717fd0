"""The blocks of plain models in the arena, one or many of one kind: see `forecasting.table` for what is in them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from forecasting.grid_dates import Integers
from forecasting.trend import Floats

_MOST_CELLS = 2**20  # rows times changepoints that are compared at once: eight megabytes


class Block(NamedTuple):
    """One model's, which begins at `begin`: views, where many models' numbers have to be gathered."""

    arena: Floats
    begin: int
    n_columns: int
    n_changepoints: int
    n_calibrated: int

    @property
    def coefficients(self) -> Floats:
        """(K,)."""
        return self.arena[self.begin : self.begin + self.n_columns]

    def lines(self, t: Floats) -> tuple[Floats, Floats]:
        """The slope and the intercept of the trend at each t (n,)."""
        marks = self.begin + self.n_columns
        slopes = marks + self.n_changepoints
        place = self.arena[marks:slopes].searchsorted(t, side="right")
        place += slopes
        return self.arena.take(place), self.arena.take(place + (self.n_changepoints + 1))

    def factors(self, ahead: Floats) -> Floats:
        """(n,): `Calibration.at`."""
        first = self.begin + self.n_columns + 3 * self.n_changepoints + 2
        second = first + self.n_calibrated
        return np.interp(ahead, self.arena[first:second], self.arena[second : second + self.n_calibrated])


class Blocks(NamedTuple):
    """Those of Q models, which begin at `begins` (Q,)."""

    arena: Floats
    begins: Integers
    n_columns: int
    n_changepoints: int
    n_calibrated: int

    @property
    def coefficients(self) -> Floats:
        """(Q, 1, K)."""
        return self._part(0, self.n_columns)[:, None, :]

    def lines(self, t: Floats) -> tuple[Floats, Floats]:
        """The slope and the intercept of each trend at each t (Q, n)."""
        k, s = self.n_columns, self.n_changepoints
        slopes = self.begins[:, None] + (k + s) + _count_up_to(self._part(k, s), t)
        return self.arena.take(slopes), self.arena.take(slopes + (s + 1))

    def factors(self, ahead: Floats) -> Floats:
        """(Q, n): `Calibration.at` of each model."""
        first, h = self.n_columns + 3 * self.n_changepoints + 2, self.n_calibrated
        numbers = zip(ahead, self._part(first, h), self._part(first + h, h), strict=True)
        return np.stack([np.interp(own, horizons, factors) for own, horizons, factors in numbers])

    def _part(self, first: int, length: int) -> Floats:
        """(Q, length): the same piece of every block."""
        part: Floats = self.arena[self.begins[:, None] + np.arange(first, first + length)]
        return part


def _count_up_to(marks: Floats, t: Floats) -> Integers:
    """(Q, n): how many of the ascending marks (Q, S) are not above each t (Q, n)."""
    step = max(1, _MOST_CELLS // (t.shape[1] * max(1, marks.shape[1])))
    counts = [
        (marks[first : first + step, None, :] <= t[first : first + step, :, None]).sum(axis=2)
        for first in range(0, len(t), step)
    ]
    return counts[0] if len(counts) == 1 else np.concatenate(counts)
