"""How far Prophet's vectorized sampler lets a trend wander, with infinitely many samples.

At each future row that is asked for, the sampler of prophet 1.5 (Prophet._sample_uncertainty) draws a change of slope
with the likelihood p = min(1, S*dt), Laplace(0, b), averages it with the row before's and sums twice; dt is the mean
step between the future rows. At a row the trend is so displaced by a sum over the earlier changes of b * lag * L, each
there with probability p. As in `trend_law` the displacement given its variance V is normal, and

    E exp(-sV) = product over lags of (1 - p + p / (1 + 2 s lag^2)),

whose singularities are negative numbers: V's density is had by contours around them, each good for one octave of V.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forecasting.trend_law import MAX_INTENSITY, Floats, Spread, process_nodes

Complexes = npt.NDArray[np.complex128]
_NODES = 48
_OCTAVE = 2.0  # of V, that one contour serves; wider ones lose their digits where changes are many
_POINTS = 20  # on the upper half of a contour; the error falls as exp(-2 pi _POINTS / sqrt(8 _OCTAVE + 1))
_LEAST = 1e-4  # V below this share of the smallest lag's square is as dense as there


def steps_spread(count: int, likelihood: float) -> Spread:
    """The law at the rows 1 to count, whose lags are 1/2, 3/2, ... up to the row's number less 1/2; in steps."""
    row = np.arange(1.0, count + 1)
    squares: Floats = (row - 0.5) ** 2
    furthest = _furthest(row, likelihood * row)
    points = _contours(0.25, furthest[-1] ** 2)
    factors = 1.0 - likelihood + likelihood / (1.0 + 2.0 * squares[:, None] * points.ravel())
    transforms = np.asarray(np.cumprod(factors, axis=0), dtype=np.complex128).reshape(count, *points.shape)
    spread = _spread(transforms, points, (1.0 - likelihood) ** row, furthest)
    return _with_many(spread, likelihood, squares.cumsum(), (squares**2).cumsum())


def lags_spread(lags: Floats, likelihood: float) -> Spread:
    """The law at rows that have any lags (R, n), 0 for none; in the unit of the lags."""
    squares = lags**2
    count = np.count_nonzero(lags, axis=1)
    atom = (1.0 - likelihood) ** count
    if not count.any():
        return Spread(atom, np.ones((len(lags), _NODES)), np.zeros((len(lags), _NODES)))
    furthest = _furthest(np.where(count > 0, lags.max(axis=1), lags.max()), likelihood * count)
    points = _contours(float(squares[squares > 0].min()), float(furthest.max()) ** 2)
    transforms = np.empty((len(lags), *points.shape), dtype=np.complex128)
    for row, own in enumerate(squares):
        factors = 1.0 - likelihood + likelihood / (1.0 + 2.0 * own[own > 0, None] * points.ravel())
        transforms[row] = factors.prod(axis=0).reshape(points.shape)
    spread = _spread(transforms, points, atom, furthest)
    return _with_many(spread, likelihood, squares.sum(axis=1), (squares**2).sum(axis=1))


def _with_many(exact: Spread, likelihood: float, second: Floats, fourth: Floats) -> Spread:
    """Replace the rows with so many changes that V's density is out of the contours' reach.

    There U is nearly normal, and the documented process's law with V's own mean and variance stands in for it.
    second, fourth: (R,), sums of the lags' powers.
    """
    mean, variance = 2.0 * likelihood * second, (8.0 * likelihood - 4.0 * likelihood**2) * fourth
    intensity = 3.6 * mean**2 / np.where(variance > 0, variance, 1.0)  # the process's: 2/3 lambda and 8/5 lambda
    many = intensity > MAX_INTENSITY
    if not many.any():
        return exact
    atom, spread, weight = process_nodes(_NODES).at(intensity)
    spread = spread * np.sqrt(mean / np.maximum(2.0 / 3.0 * intensity, 1e-300))[:, None]
    return Spread(
        np.where(many, atom, exact.atom),
        np.where(many[:, None], spread, exact.spread),
        np.where(many[:, None], weight, exact.weight),
    )


def _furthest(largest: Floats, expected: Floats) -> Floats:
    """What sqrt(V) exceeds with a probability below 1e-12, for lags up to `largest` of which `expected` are changes.

    Changes at evenly spread lags: P(V > v) <= E exp(0.4 V) / exp(0.4 v), V in the unit of the largest lag's square.
    """
    return np.asarray(largest * np.sqrt(69.0 + 1.54 * expected))


def _contours(smallest: float, largest: float) -> Complexes:
    """(W, _POINTS): the points of the W contours that serve V from _LEAST * smallest up to largest, octave by octave.

    The parabola z = mu (i theta + 1)^2 for a range of arguments, Weideman & Trefethen 2007 (Math. Comp. 76), section 4.
    """
    windows = int(np.ceil(np.log(largest / (_LEAST * smallest)) / np.log(_OCTAVE)))
    ends = _LEAST * smallest * _OCTAVE ** np.arange(1, windows + 1)
    scale, theta = _parabola()
    return np.asarray(scale / ends[:, None] * (1j * theta + 1.0) ** 2)


def _parabola() -> tuple[float, Floats]:
    """mu for arguments up to 1, and theta (_POINTS,) at the middles of even steps."""
    width = np.sqrt(8.0 * _OCTAVE + 1.0)
    return float(np.pi * _POINTS / (4.0 * width)), (np.arange(_POINTS) + 0.5) * width / _POINTS


def _spread(transforms: Complexes, points: Complexes, atom: Floats, furthest: Floats) -> Spread:
    """Nodes for rows with the transforms (R, W, _POINTS) of V at the contours' points (W, _POINTS)."""
    position, measure = np.polynomial.legendre.leggauss(_NODES)
    unit = (position + 1.0) / 2.0
    spread = furthest[:, None] * unit**2
    scale, theta = _parabola()
    ends = scale / np.real(points[:, 0] / (1j * theta[0] + 1.0) ** 2)
    variance = np.maximum(spread**2, ends[0] / _OCTAVE)
    window = np.minimum(ends.searchsorted(variance), len(ends) - 1)
    smooth = (transforms - atom[:, None, None]) * (points / (1j * theta + 1.0))  # z' is 2 i mu (i theta + 1)
    step = theta[1] - theta[0]
    density = np.empty(variance.shape)
    for row, own in enumerate(window):
        terms = np.exp(variance[row, :, None] * points[own]) * smooth[row, own]
        density[row] = 2.0 * step / np.pi * np.real(terms.sum(axis=1))
    weight = np.maximum(unit * measure * furthest[:, None] * 2.0 * spread * density, 0.0)
    total = weight.sum(axis=1, keepdims=True)
    weight *= np.where(total > 0, (1.0 - atom[:, None]) / np.where(total > 0, total, 1.0), 0.0)
    return Spread(atom, spread, weight)
