"""Half-widths for linear growth: how far yhat and trend may lie from their forecast, at a given probability.

With the displacement b*h*U of `trend_law`, an observation lies at a distance a*b*h*U + noise from yhat, where a is
|1 + multiplicative|. The law is symmetric, so one number a row says everything:

    P(jump * U + noise * Z <= half_width) = probability,   jump = a*b*h,   Z ~ N(0, 1).

It depends, but for its unit, on two numbers: the intensity S*h, and noise / jump. For each probability a table over
the logarithms of both is solved once (a tenth of a second) and then read by a cubic spline: microseconds for a whole
forecast. Where the table ends, the law's own limits take over; what has no such limit is solved row by row. Which of
these a row takes depends on nothing but its own numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter
from scipy.special import ndtr, ndtri

from forecasting.trend_law import MAX_INTENSITY, Floats, spread_nodes

_STEP = 0.1  # of the table, in either logarithm
_PAD = 5  # cells around the table, so that the spline's boundary condition is not felt inside
_LEAST_NOISE, _MOST_NOISE = 0.06, 30.0  # noise / jump
_SMOOTH = 8.0  # from this intensity on, noise below _LEAST_NOISE changes nothing but the total variance
_SQRT_2PI = float(np.sqrt(2.0 * np.pi))
_CHUNK = 4096


def linear_half_width(probability: float, intensity: Floats, jump: Floats, noise: Floats) -> Floats:
    """The quantile of jump * U + noise * Z, (R,), for one probability in [0.5, 1).

    intensity: S*h; jump: a*b*h >= 0; noise: sigma >= 0; each (R,), the last two in the unit of the result.
    An intensity or jump of 0 is a row inside the history, or one of flat growth: only noise.
    """
    _check(probability)
    z = float(ndtri(probability))
    result = np.asarray(z * noise, dtype=np.float64)
    wanders = (intensity > 0) & (jump > 0) & (noise <= jump * 1e8)
    if z == 0.0 or not wanders.any():
        return result
    if wanders.all():
        return _wandering(probability, z, intensity, jump, noise)
    result[wanders] = _wandering(probability, z, intensity[wanders], jump[wanders], noise[wanders])
    return result


def trend_half_width(probability: float, intensity: Floats, jump: Floats) -> Floats:
    """The quantile of jump * U, (R,): exactly 0 while no change at all is likelier than the interval is wide.

    Arguments as for `linear_half_width`; the error of reading the table is below 1e-3 of the half-width.
    """
    _check(probability)
    z = float(ndtri(probability))
    grid, values = _trend_table(probability)
    read = np.interp(np.clip(intensity, 0.0, MAX_INTENSITY), grid, values)
    beyond = np.minimum(MAX_INTENSITY / np.maximum(intensity, MAX_INTENSITY), 1.0)
    standard = np.where(beyond < 1.0, z + (values[-1] - z) * beyond, read)
    return np.asarray(jump * np.sqrt(2.0 / 3.0 * np.maximum(intensity, 0.0)) * standard, dtype=np.float64)


def solved_half_width(probability: float, intensity: Floats, jump: Floats, noise: Floats) -> Floats:
    """`linear_half_width` to about ten digits without a table, a hundred microseconds a row.

    intensity: (R,), each in (0, MAX_INTENSITY]; noise may be 0.
    """
    result = np.empty(len(intensity))
    for first in range(0, len(intensity), _CHUNK):
        rows = slice(first, first + _CHUNK)
        spread, weight = spread_nodes(intensity[rows])
        result[rows] = _solve(
            probability, np.exp(-intensity[rows]), spread * jump[rows, None], weight, noise[rows, None]
        )
    return result


def _check(probability: float) -> None:
    if not 0.5 <= probability < 1.0:
        raise ValueError(f"a half-width is for a probability from 0.5 to below 1, not {probability}")


def _solve(probability: float, atom: Floats, spread: Floats, weight: Floats, noise: Floats) -> Floats:
    """x with atom * Phi(x / noise) + sum_j weight_j Phi(x / sqrt(spread_j^2 + noise^2)) = probability.

    For x > 0 the left side is concave, so Newton's steps from 0 climb to the root and never pass it.
    atom: (R,); spread, weight: (R, J); noise: (R, 1). Returns (R,), 0 where the atom alone reaches the probability.
    """
    scale = np.concatenate([np.maximum(noise, 1e-300), np.hypot(spread, noise)], axis=1)
    mass = np.concatenate([atom[:, None], weight], axis=1)
    x = np.maximum(float(ndtri(probability)) * noise[:, 0], 0.0)
    moving = ~((noise[:, 0] == 0.0) & (atom + weight.sum(axis=1) / 2.0 >= probability))
    for _ in range(200):
        at = np.minimum(x[moving, None] / scale[moving], 1e3)  # Phi is 1 long before
        missing = probability - (mass[moving] * ndtr(at)).sum(axis=1)
        if not noise.any():  # the atom at 0 lies below every x > 0 and below 0 itself
            missing -= np.where(x[moving] == 0.0, atom[moving] / 2.0, 0.0)
        slopes = mass[moving] * np.exp(-0.5 * at**2) / scale[moving]
        if not noise.any():
            slopes[:, 0] = 0.0
        step = missing / (slopes.sum(axis=1) * (1.0 / _SQRT_2PI))
        x[moving] += np.maximum(step, 0.0)
        still = np.zeros_like(moving)
        still[moving] = step > 1e-14 * x[moving]
        moving = still
        if not moving.any():
            break
    return x


@dataclass(frozen=True)
class _Table:
    """Spline coefficients of log(half_width / total standard deviation) over (log intensity, log(noise / jump))."""

    first_intensity: float
    coefficients: Floats

    def __call__(self, intensity: Floats, ratio: Floats) -> Floats:
        """half_width / total standard deviation, inside the table."""
        place = np.empty((2, len(intensity)))
        place[0] = (np.log(intensity) - np.log(self.first_intensity)) / _STEP + _PAD
        place[1] = (np.log(ratio) - np.log(_LEAST_NOISE)) / _STEP + _PAD
        read = map_coordinates(self.coefficients, place, order=3, mode="mirror", prefilter=False)
        return np.asarray(np.exp(read), dtype=np.float64)


@lru_cache(maxsize=64)
def _table(probability: float) -> _Table:
    """The table of one probability, 100 KB; solved in about a tenth of a second."""
    # A rare change matters as soon as it is not rarer than the tail: the table starts well below.
    first = min(1e-3, 0.02 * (1.0 - probability))
    log_first, log_noise = np.log(first), np.log(_LEAST_NOISE)
    n_intensity = int(np.ceil((np.log(MAX_INTENSITY) - log_first) / _STEP)) + 1
    n_ratio = int(np.ceil((np.log(_MOST_NOISE) - log_noise) / _STEP)) + 1
    # Beyond MAX_INTENSITY only cells of the padding lie, at most 65 % further, where the nodes are still good.
    intensity = np.exp(log_first + _STEP * np.arange(-_PAD, n_intensity + _PAD))
    ratio = np.exp(log_noise + _STEP * np.arange(-_PAD, n_ratio + _PAD))
    spread, weight = spread_nodes(intensity, 48)
    values = np.empty((len(intensity), len(ratio)))
    for row, lam in enumerate(intensity):
        many = np.broadcast_to(spread[row], (len(ratio), 48)), np.broadcast_to(weight[row], (len(ratio), 48))
        half = _solve(probability, np.full(len(ratio), np.exp(-lam)), *many, ratio[:, None])
        values[row] = np.log(half / np.sqrt(2.0 / 3.0 * lam + ratio**2))
    return _Table(first, np.asarray(spline_filter(values, order=3, mode="mirror"), dtype=np.float64))


@lru_cache(maxsize=64)
def _trend_table(probability: float) -> tuple[Floats, Floats]:
    """Intensities (G,) and half_width / standard deviation of U (G,), 0 up to where the atom ends."""
    ends = -np.log(2.0 * probability - 1.0) if probability > 0.5 else np.inf
    if ends >= MAX_INTENSITY:
        return np.array([0.0, MAX_INTENSITY]), np.zeros(2)
    intensity = ends + (MAX_INTENSITY - ends) * np.linspace(0.0, 1.0, 513)[1:] ** 3
    half = solved_half_width(probability, intensity, np.ones(512), np.zeros(512))
    return np.append(ends, intensity), np.append(0.0, half / np.sqrt(2.0 / 3.0 * intensity))


def _wandering(probability: float, z: float, intensity: Floats, jump: Floats, noise: Floats) -> Floats:
    """`linear_half_width` of rows whose trend is uncertain."""
    table = _table(probability)
    ratio = noise / jump
    variance = 2.0 / 3.0 * intensity + ratio**2
    # Rarer changes than the table knows: the effect is proportional to how rare. More: its excess falls as 1/lambda.
    known = np.clip(intensity, table.first_intensity, MAX_INTENSITY)
    known_ratio = np.where(intensity > MAX_INTENSITY, ratio * np.sqrt(known / intensity), ratio)
    read = table(known, np.clip(known_ratio, _LEAST_NOISE, _MOST_NOISE))
    standard = np.where(intensity > MAX_INTENSITY, z + (read - z) * (known / intensity), read)
    # Much noise: the first term of Cornish and Fisher; the fourth cumulant of U is lambda * 4! / 5.
    kurtosis = 4.8 * intensity / variance**2
    standard = np.where(known_ratio > _MOST_NOISE, z + (z**3 - 3.0 * z) / 24.0 * kurtosis, standard)
    result = np.asarray(jump * np.sqrt(variance) * standard, dtype=np.float64)
    rare = (intensity < table.first_intensity) & (known_ratio <= _MOST_NOISE)
    if rare.any():
        edge = read * np.sqrt(2.0 / 3.0 * known + np.clip(ratio, _LEAST_NOISE, None) ** 2)
        edge /= np.clip(ratio, _LEAST_NOISE, None)
        result[rare] = (noise * (z + (edge - z) * (intensity / known)))[rare]
    bare = (ratio < _LEAST_NOISE) & (intensity < _SMOOTH) & ~rare
    if bare.any():
        result[bare] = solved_half_width(probability, intensity[bare], jump[bare], noise[bare])
    return result
