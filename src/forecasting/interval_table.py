"""Half-widths for linear growth: how far yhat and trend may lie from their forecast, at a given probability.

With the displacement b*h*U of `trend_law`, an observation lies at a distance a*b*h*U + noise from yhat, where a is
|1 + multiplicative|. The law is symmetric, so one number a row says everything:

    P(jump * U + noise * Z <= half_width) = probability,   jump = a*b*h,   Z ~ N(0, 1).

It depends, but for its unit, on two numbers: the intensity S*h, and noise / jump. For each probability a table over
the logarithms of both is solved once (a tenth of a second) and then read by straight interpolation: microseconds for
a whole forecast. Where the table ends, the law's own limits take over; what has no such limit is solved row by row.
Which of these a row takes depends on nothing but its own numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from forecasting.normal import cumulative, quantile
from forecasting.trend_law import MAX_INTENSITY, Floats, spread_nodes

_STEP = 0.1  # between the solved values, in either logarithm
_FINE_INTENSITY, _FINE_RATIO = 6, 2  # into how many steps each is cut before it is read straight
_PAD = 3  # solved values beside the table, which its outermost steps are cut with
_LEAST_NOISE, _MOST_NOISE = 0.06, 30.0  # noise / jump
_ONLY_NOISE = 1e8  # noise / jump from which a jump is not felt in the last digit
_SMOOTH = 12.0  # from this intensity on, noise below _LEAST_NOISE changes nothing but the total variance
_TABLES = 16  # kept: two to three megabytes each
_TREND_STEPS = 1024
INTENSITY_STEPS, RATIO_STEPS = _FINE_INTENSITY / _STEP, _FINE_RATIO / _STEP  # to a unit of either logarithm
FIRST_RIGHT = float(np.log(_LEAST_NOISE)) * RATIO_STEPS
LAST_RIGHT = float(np.log(_ONLY_NOISE)) * RATIO_STEPS - FIRST_RIGHT
_MOST_RIGHT = float(np.log(_MOST_NOISE)) * RATIO_STEPS - FIRST_RIGHT
_SQRT_2PI = float(np.sqrt(2.0 * np.pi))
_CHUNK = 4096


def prepare(interval_width: float) -> None:
    """Solve the tables of a central interval now, a tenth of a second, so that no forecast has to wait for them."""
    probability = upper_tail(interval_width)
    half_width_table(probability)
    _trend_table(probability)


def upper_tail(interval_width: float) -> float:
    """The probability of what lies below the upper bound of a central interval; raises ValueError outside (0, 1)."""
    if not 0.0 < interval_width < 1.0:
        raise ValueError(f"the interval width {interval_width} is not between 0 and 1")
    return (1.0 + interval_width) / 2.0


def linear_half_width(probability: float, intensity: Floats, jump: Floats, noise: Floats) -> Floats:
    """The quantile of jump * U + noise * Z, (R,), for one probability in [0.5, 1).

    intensity: S*h; jump: a*b*h >= 0; each (R,). noise: sigma >= 0, (R,) or one for all rows, in the unit of jump and
    of the result. An intensity or jump of 0 is a row inside the history, or one of flat growth: only noise.
    The error is below 1.5e-3 of the half-width for probabilities up to 0.995, below 4e-4 where noise > 0.2 * jump;
    at 0.9, the bounds of an 80 % interval, below 8e-4 and 2e-4. A probability never seen before costs a tenth of a
    second; the tables of the last 16 are kept.
    """
    table = half_width_table(probability)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = noise / jump
    if len(jump) and table.knows(intensity, ratio):
        half = table.read(intensity, ratio)
        half *= _deviation(intensity, ratio)
        half *= jump
        return half
    z = quantile(probability)
    noise = np.broadcast_to(noise, intensity.shape)
    result: Floats = z * noise
    wanders = (intensity > 0) & (jump > 0) & (noise <= jump * _ONLY_NOISE)
    if z > 0.0 and wanders.any():
        result[wanders] = _wandering(table, probability, intensity[wanders], jump[wanders], noise[wanders])
    return result


def trend_half_width(probability: float, intensity: Floats, jump: Floats) -> Floats:
    """The quantile of jump * U, (R,): exactly 0 while no change at all is likelier than the interval is wide.

    Arguments as for `linear_half_width`. The error of reading the table is, for probabilities up to 0.995, below 3e-5
    of the displacement's standard deviation, and below 6e-4 of a half-width that is at least a hundredth of it; from
    where it leaves 0 a half-width rises so steeply that for the smaller ones only the first can be said.
    """
    return jump * _trend_table(probability)(intensity)


def solved_half_width(probability: float, intensity: Floats, jump: Floats, noise: Floats) -> Floats:
    """`linear_half_width` to about ten digits without a table, a hundred microseconds a row.

    intensity: (R,), each in (0, MAX_INTENSITY]; noise: (R,), all of it 0 or none.
    """
    result = np.empty(len(intensity))
    for first in range(0, len(intensity), _CHUNK):
        rows = slice(first, first + _CHUNK)
        spread, weight = spread_nodes(intensity[rows])
        result[rows] = solve_half_width(
            probability, np.exp(-intensity[rows]), spread * jump[rows, None], weight, noise[rows, None]
        )
    return result


def solve_half_width(probability: float, atom: Floats, spread: Floats, weight: Floats, noise: Floats) -> Floats:
    """x with atom * Phi(x / noise) + sum_j weight_j Phi(x / sqrt(spread_j^2 + noise^2)) = probability, in [0.5, 1).

    For x > 0 the left side is concave, so Newton's steps from 0 climb to the root and never pass it.
    atom: (R,); spread, weight: (R, J); noise: (R, 1), all of it 0 or none. Returns (R,), 0 where there is no noise and
    the atom alone reaches the probability.
    """
    scale = np.concatenate([np.maximum(noise, 1e-300), np.hypot(spread, noise)], axis=1)
    mass = np.concatenate([atom[:, None], weight], axis=1)
    x = np.maximum(quantile(probability) * noise[:, 0], 0.0)
    noiseless = not noise.any()
    moving = atom + weight.sum(axis=1) / 2.0 < probability if noiseless else np.ones(len(x), dtype=np.bool_)
    for _ in range(200):
        if not moving.any():
            break
        at = np.minimum(x[moving, None] / scale[moving], 1e3)  # Phi is 1 long before
        missing = probability - (mass[moving] * cumulative(at)).sum(axis=1)
        slopes = mass[moving] * np.exp(-0.5 * at**2) / scale[moving]
        if noiseless:  # the atom at 0 lies below every x > 0 and below 0 itself
            missing -= np.where(x[moving] == 0.0, atom[moving] / 2.0, 0.0)
            slopes[:, 0] = 0.0
        step = missing / (slopes.sum(axis=1) * (1.0 / _SQRT_2PI))
        x[moving] += np.maximum(step, 0.0)
        moving[moving] = step > 1e-14 * x[moving]
    return x


@dataclass(frozen=True, eq=False)
class HalfWidths:
    """half_width / total standard deviation over (log intensity, log(noise / jump)), cell by cell.

    cells: (rows * columns, 4), the value at a cell's first corner, how much it grows down and to the right, and by
    how much more it grows in both at once: side by side, because each read would wait for the memory otherwise.
    """

    first_intensity: float
    columns: int
    cells: Floats

    @cached_property
    def first_down(self) -> float:
        """The logarithm of the first intensity, in INTENSITY_STEPS."""
        return float(np.log(self.first_intensity)) * INTENSITY_STEPS

    @cached_property
    def last_down(self) -> float:
        """How many steps of an intensity's logarithm the table knows."""
        return float(np.log(MAX_INTENSITY)) * INTENSITY_STEPS - self.first_down

    def knows(self, intensity: Floats, ratio: Floats) -> bool:
        """Whether all rows (at least one) can be read; a row that is not a number cannot."""
        least, most = np.minimum.reduce, np.maximum.reduce  # min and max take a detour through Python
        return bool(
            least(intensity) >= self.first_intensity
            and most(intensity) <= MAX_INTENSITY
            and least(ratio) >= _LEAST_NOISE
            and most(ratio) <= _ONLY_NOISE
        )

    def read(self, intensity: Floats, ratio: Floats) -> Floats:
        """half_width / total standard deviation (R,) of rows that the table knows."""
        return self.at(np.log(intensity) * INTENSITY_STEPS - self.first_down, np.log(ratio) * RATIO_STEPS - FIRST_RIGHT)

    def at(self, down: Floats, right: Floats) -> Floats:
        """`read` by the logarithms in steps from the table's first: down (R,) of intensities, from 0 to last_down, and
        right (R,) of noise / jump, from 0 to LAST_RIGHT. Both are overwritten.

        Beyond _MOST_NOISE the law is a normal one to the fifth digit: there the last column holds.
        """
        np.minimum(right, _MOST_RIGHT, out=right)
        place, column = down.astype(np.intp), right.astype(np.intp)
        down -= place
        right -= column
        place *= self.columns
        place += column
        value, further_down, further_right, standard = self.cells.take(place, axis=0).T
        standard *= down
        standard += further_right
        standard *= right
        down *= further_down
        standard += down
        standard += value
        return np.asarray(standard)


def _cut(values: Floats, first: float, steps: float) -> tuple[Floats, npt.NDArray[np.intp]]:
    """How far (R,) values lie beyond the last whole step from `first`, and how many steps (R,) that is; in place."""
    values -= first
    values *= steps
    whole = values.astype(np.intp)
    values -= whole
    return values, whole


@lru_cache(maxsize=_TABLES)
def half_width_table(probability: float) -> HalfWidths:
    """The table of one probability in [0.5, 1), two to three megabytes; solved in about a tenth of a second."""
    _check(probability)
    # A rare change matters as soon as it is not rarer than the tail: the table starts well below.
    first = min(1e-3, 0.02 * (1.0 - probability))
    log_first, log_noise = np.log(first), np.log(_LEAST_NOISE)
    n_intensity = int(np.ceil((np.log(MAX_INTENSITY) - log_first) / _STEP)) + 1
    n_ratio = int(np.ceil((np.log(_MOST_NOISE) - log_noise) / _STEP)) + 1
    # Beyond MAX_INTENSITY only the padding lies, at most 50 % further, where the nodes are still good.
    intensity = np.exp(log_first + _STEP * np.arange(-_PAD, n_intensity + _PAD))
    ratio = np.exp(log_noise + _STEP * np.arange(-_PAD, n_ratio + _PAD))
    spread, weight = spread_nodes(intensity, 48)
    values = np.empty((len(intensity), len(ratio)))
    for row, lam in enumerate(intensity):
        many = np.broadcast_to(spread[row], (len(ratio), 48)), np.broadcast_to(weight[row], (len(ratio), 48))
        half = solve_half_width(probability, np.full(len(ratio), np.exp(-lam)), *many, ratio[:, None])
        values[row] = half / np.sqrt(2.0 / 3.0 * lam + ratio**2)
    fine = _refined(_refined(values, _FINE_INTENSITY).T, _FINE_RATIO).T
    down, right = np.diff(fine, axis=0)[:, :-1], np.diff(fine, axis=1)[:-1]
    cells = np.stack([fine[:-1, :-1], down, right, np.diff(np.diff(fine, axis=0), axis=1)], axis=2)
    return HalfWidths(float(first), cells.shape[1], cells.reshape(-1, 4))


def _refined(values: Floats, steps: int) -> Floats:
    """Values (n, m) with each step of the first axis cut into `steps`, by Lagrange's polynomial through six points.

    The _PAD values at either end are used and left out of the result.
    """
    nodes = np.arange(-2, 4)
    shares = np.arange(steps) / steps
    weights = np.ones((steps, 6))
    for own in range(6):
        for other in range(6):
            if other != own:
                weights[:, own] *= (shares - nodes[other]) / (nodes[own] - nodes[other])
    starts = np.arange(_PAD, len(values) - _PAD)
    around = values[starts[:, None] + nodes]  # (n - 2 _PAD, 6, m)
    return np.ascontiguousarray(np.einsum("sk,nkm->nsm", weights, around).reshape(-1, values.shape[1]))


@dataclass(frozen=True, eq=False)
class _TrendTable:
    """The half-width of U, straight between values at even steps of sqrt(log(intensity / ends)); 0 up to `ends`.

    steps: how many to a unit of that square root; values, slopes: (G,), slopes a step. z: the normal quantile.
    """

    ends: float
    steps: float
    z: float
    values: Floats
    slopes: Floats

    def __call__(self, intensity: Floats) -> Floats:
        """The half-width of U (R,) for any intensity."""
        place = np.minimum(np.maximum(intensity, self.ends), MAX_INTENSITY)
        place /= self.ends
        half, left = _cut(np.sqrt(np.log(place, out=place), out=place), 0.0, self.steps)
        half *= self.slopes.take(left)
        half += self.values.take(left)
        if len(intensity) and np.maximum.reduce(intensity) > MAX_INTENSITY:
            # Nearly normal: what is left of the difference falls as 1 / intensity.
            excess = (half / np.sqrt(2.0 / 3.0 * MAX_INTENSITY) - self.z) * MAX_INTENSITY / np.maximum(intensity, 1.0)
            normal = np.sqrt(2.0 / 3.0 * np.maximum(intensity, 0.0))
            half = np.where(intensity > MAX_INTENSITY, normal * (self.z + excess), half)
        return half


@lru_cache(maxsize=_TABLES)
def _trend_table(probability: float) -> _TrendTable:
    """Solved in a tenth of a second."""
    _check(probability)
    z = quantile(probability)
    ends = float(-np.log(2.0 * probability - 1.0)) if probability > 0.5 else np.inf
    if ends >= MAX_INTENSITY:
        return _TrendTable(MAX_INTENSITY, 0.0, z, np.zeros(1), np.zeros(1))
    reach = float(np.log(MAX_INTENSITY / ends))
    intensity = ends * np.exp(reach * np.linspace(0.0, 1.0, _TREND_STEPS + 1)[1:] ** 2)
    intensity[-1] = MAX_INTENSITY
    half = solved_half_width(probability, intensity, np.ones(_TREND_STEPS), np.zeros(_TREND_STEPS))
    values = np.append(0.0, half)
    return _TrendTable(ends, _TREND_STEPS / float(np.sqrt(reach)), z, values, np.diff(values, append=values[-1]))


def _deviation(intensity: Floats, ratio: Floats) -> Floats:
    """The standard deviation of U + ratio * Z."""
    variance = 2.0 / 3.0 * intensity
    variance += ratio * ratio
    return np.sqrt(variance, out=variance)


def _check(probability: float) -> None:
    if not 0.5 <= probability < 1.0:
        raise ValueError(f"a half-width is for a probability from 0.5 to below 1, not {probability}")


def _wandering(table: HalfWidths, probability: float, intensity: Floats, jump: Floats, noise: Floats) -> Floats:
    """`linear_half_width` of rows (R,) whose trend is uncertain, wherever they lie."""
    z = quantile(probability)
    ratio = noise / jump
    known = np.clip(intensity, table.first_intensity, MAX_INTENSITY)
    # Many changes: U keeps the shape of MAX_INTENSITY's with its own variance, and its excess falls as 1/intensity.
    many = intensity > MAX_INTENSITY
    known_ratio = np.maximum(np.where(many, ratio * np.sqrt(known / intensity), ratio), _LEAST_NOISE)
    read = table.read(known, known_ratio)
    standard = np.where(many, z + (read - z) * (known / intensity), read)
    result: Floats = standard * _deviation(intensity, ratio) * jump
    # Rarer changes than the table knows: their effect is proportional to how rare they are.
    rare = intensity < table.first_intensity
    excess = read * _deviation(known, known_ratio) / known_ratio - z
    result[rare] = (noise * (z + excess * (intensity / known)))[rare]
    bare = (ratio < _LEAST_NOISE) & (intensity < _SMOOTH) & ~rare
    for own in (bare & (noise > 0.0), bare & (noise == 0.0)):
        if own.any():
            result[own] = solved_half_width(probability, intensity[own], jump[own], noise[own])
    return result
