"""Compiled kernels of the exact solver: a partial Cholesky, a lasso on the changepoints, the noise variance.

numba compiles them once per machine (about ten seconds) and keeps the result beside this file, or in
NUMBA_CACHE_DIR. They hold no Python objects and release the GIL. Images have them compiled ahead
(`kernels_build`), and no numba then; those keep the GIL.

Throughout, theta = (k, m, beta, delta) with the first n_smooth entries under normal priors and delta under
a Laplace prior; gram = Z'Z and moment = Z'y for the design Z whose columns belong to theta.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

CONVERGED, COLLAPSED, SINGULAR, STALLED = 0, 1, 2, 3
_DEPENDENT = 1e-13  # a pivot this small beside its diagonal: the column is a combination of those before it
_CANCELLED = 1e-6  # below this share of y'y, y'y - 2 theta'Z'y + theta'Z'Z theta has lost half of its digits


try:
    _ahead: Any = importlib.import_module("forecasting.kernels_ahead")
except ImportError:
    _ahead = None


def compiled(function: Kernel) -> Kernel:
    """Compile with numba, or find what was compiled ahead; the signature that mypy sees stays the Python function's."""
    if _ahead is not None:
        return checked(getattr(_ahead, function.__name__, function))
    import numba

    return cast(Kernel, numba.njit(cache=True, nogil=True)(function))


def checked(kernel: Kernel) -> Kernel:
    """A kernel that was compiled ahead, given arrays as it was compiled for: it looks at neither type nor layout."""

    def call(*given: Any) -> Any:
        return kernel(*(np.ascontiguousarray(x, dtype=np.float64) if isinstance(x, np.ndarray) else x for x in given))

    return cast(Kernel, call)


@compiled
def eliminate(system: Floats, pivots: int) -> bool:
    """Run `pivots` steps of Cholesky's U'U on the upper triangle of system, in place.

    system: (n, n + 1), a symmetric matrix with its right-hand side as the last column. The first `pivots` rows
    become those of U with the reduced right-hand side; what is left is the Schur complement of the rest.
    Rows are updated whole, so that the inner loop runs over contiguous memory. False if a pivot vanishes.
    """
    n = system.shape[0]
    diagonal = np.empty(pivots)
    for j in range(pivots):
        diagonal[j] = system[j, j]
    for j in range(pivots):
        if not system[j, j] > _DEPENDENT * diagonal[j]:
            return False
        root = np.sqrt(system[j, j])
        for c in range(j, n + 1):
            system[j, c] /= root
        for i in range(j + 1, n):
            factor = system[j, i]
            if factor != 0.0:
                for c in range(i, n + 1):
                    system[i, c] -= factor * system[j, c]
    return True


@compiled
def back_substitute(system: Floats, pivots: int, solution: Floats) -> None:
    """Fill solution[:pivots] from an eliminated system, given solution[pivots:]."""
    n = system.shape[0]
    for i in range(pivots - 1, -1, -1):
        value = system[i, n]
        for c in range(i + 1, n):
            value -= system[i, c] * solution[c]
        solution[i] = value / system[i, i]


@compiled
def _sign_fixed_optimum(quadratic: Floats, linear: Floats, weight: float, signs: Floats) -> tuple[bool, Floats]:
    """The minimiser of x'Qx/2 - r'x + weight * signs'x over the coordinates whose sign is not 0."""
    active = np.nonzero(signs)[0]
    a = len(active)
    system = np.empty((a, a + 1))
    for p in range(a):
        for q in range(a):
            system[p, q] = quadratic[active[p], active[q]]
        system[p, a] = linear[active[p]] - weight * signs[active[p]]
    full = np.zeros(len(linear))
    if not eliminate(system, a):
        return False, full
    found = np.empty(a)
    back_substitute(system, a, found)
    for p in range(a):
        full[active[p]] = found[p]
    return True, full


@compiled
def _steepest_zero(quadratic: Floats, linear: Floats, weight: float, x: Floats, barred: npt.NDArray[np.bool_]) -> int:
    """Which zero coordinate would lower the objective most if it moved, plus one; minus for upwards; 0 for none."""
    best, bound = 0, weight * (1.0 + 1e-10)
    for i in range(len(x)):
        if x[i] == 0.0 and not barred[i]:
            slope = -linear[i]
            for c in range(len(x)):
                slope += quadratic[i, c] * x[c]
            if abs(slope) > bound:
                bound = abs(slope)
                best = i + 1 if slope > 0.0 else -(i + 1)
    return best


@compiled
def lasso(quadratic: Floats, linear: Floats, weight: float, x: Floats) -> bool:
    """Minimise x'Qx/2 - r'x + weight * |x|_1 in place, exactly, from the warm start x.

    Feature-sign search (Lee, Battle, Raina and Ng, NIPS 2006): with the signs given, the minimum is a linear
    system; walk towards it, stop where a coordinate meets 0 and drop it; at the minimum of the present signs let
    in the zero that the gradient pulls most. The objective falls at every step and there are finitely many sign
    patterns. False if rounding keeps it from ending.
    """
    n = len(x)
    signs, barred = np.sign(x), np.zeros(n, dtype=np.bool_)
    largest = 0.0
    for i in range(n):
        largest = max(largest, quadratic[i, i])
    for i in range(n):
        if quadratic[i, i] <= _DEPENDENT * largest:  # a changepoint at the very end moves nothing
            barred[i], signs[i], x[i] = True, 0.0, 0.0
    settled, entered = not np.any(signs != 0.0), -1
    for _ in range(100 + 20 * n):
        if settled:
            pulled = _steepest_zero(quadratic, linear, weight, x, barred)
            if pulled == 0:
                return True
            entered = abs(pulled) - 1
            signs[entered] = -1.0 if pulled > 0 else 1.0
        solved, target = _sign_fixed_optimum(quadratic, linear, weight, signs)
        if not solved or (entered >= 0 and target[entered] * signs[entered] <= 0.0):
            if entered < 0:  # the warm start itself is dependent: start afresh
                x[:], signs[:], settled = 0.0, 0.0, True
                continue
            barred[entered], signs[entered], entered, settled = True, 0.0, -1, True
            continue
        entered = -1
        share, first = 1.0, -1
        for i in range(n):
            if x[i] * target[i] < 0.0 and x[i] / (x[i] - target[i]) < share:
                share, first = x[i] / (x[i] - target[i]), i
        for i in range(n):
            x[i] += share * (target[i] - x[i])
        settled = first < 0
        if first >= 0:
            x[first], signs[first] = 0.0, 0.0
    return False


@compiled
def minimise(hessian: Floats, linear: Floats, n_smooth: int, weight: float, delta: Floats) -> tuple[bool, Floats]:
    """The minimiser, (n,), of theta'H theta/2 - linear'theta + weight * |delta|_1; delta: warm start, (S,).

    The smooth part is eliminated by Cholesky, which leaves a lasso in delta alone.
    """
    n = len(linear)
    system = np.empty((n, n + 1))
    system[:, :n] = hessian
    system[:, n] = linear
    theta = np.zeros(n)
    if not eliminate(system, n_smooth):
        return False, theta
    size = n - n_smooth
    quadratic = np.empty((size, size))
    for p in range(size):
        for q in range(p, size):
            quadratic[p, q] = system[n_smooth + p, n_smooth + q]
            quadratic[q, p] = quadratic[p, q]
    theta[n_smooth:] = delta
    ended = lasso(quadratic, system[n_smooth:, n].copy(), weight, theta[n_smooth:])
    back_substitute(system, n_smooth, theta)
    return ended, theta


@compiled
def noise_variance(squares: float, rows: int) -> float:
    """The sigma^2 that minimises T log sigma + squares / (2 sigma^2) + 2 sigma^2.

    The positive root of 4 v^2 + T v - squares = 0, written so that nothing cancels.
    """
    return float(2.0 * squares / (rows + np.sqrt(float(rows) * rows + 16.0 * squares)))


@compiled
def squared_residual(design: Floats, y: Floats, gram: Floats, moment: Floats, square: float, theta: Floats) -> float:
    """|y - Z theta|^2: from the Gram matrix in O(n^2), from the rows where that would cancel."""
    squares = square
    for i in range(len(theta)):
        row = -2.0 * moment[i]
        for c in range(len(theta)):
            row += gram[i, c] * theta[c]
        squares += row * theta[i]
    if squares > _CANCELLED * square:
        return float(squares)
    residual = y - design @ theta
    return float(residual @ residual)


@compiled
def refine(design: Floats, y: Floats, gram: Floats, ridge: Floats, weight: float, theta: Floats, scale: float) -> None:
    """One Newton step on the non-zero coordinates, in place, with the gradient taken from the rows.

    The Gram matrix squares the condition of Z; a residual from the rows and this step win the lost digits back.
    ridge: the normal priors' precisions, to be multiplied by scale (sigma^2). A step across 0 is not taken.
    """
    gradient = (y - design @ theta) @ design
    active = np.nonzero((ridge > 0.0) | (theta != 0.0))[0]
    a = len(active)
    system = np.empty((a, a + 1))
    for p in range(a):
        i = active[p]
        for q in range(a):
            system[p, q] = gram[i, active[q]]
        system[p, p] += scale * ridge[i]
        laplace = weight * np.sign(theta[i]) if ridge[i] == 0.0 else 0.0
        system[p, a] = gradient[i] - scale * ridge[i] * theta[i] - laplace
    step = np.empty(a)
    if not eliminate(system, a):
        return
    back_substitute(system, a, step)
    for p in range(a):
        i = active[p]
        if ridge[i] == 0.0 and (theta[i] + step[p]) * theta[i] <= 0.0:
            return
    for p in range(a):
        theta[active[p]] += step[p]


@compiled
def linear_map(
    design: Floats,
    y: Floats,
    gram: Floats,
    moment: Floats,
    ridge: Floats,
    n_smooth: int,
    tau: float,
    variance: float,
    smallest: float,
) -> tuple[int, Floats, float, int]:
    """Maximise the posterior of a model that is linear in theta: status, theta, sigma^2, rounds.

    Given sigma^2 the rest is a lasso with ridge sigma^2 / scale^2 and weight sigma^2 / tau; given theta, sigma^2
    is in closed form. Both together map sigma^2 to sigma^2, and the map is increasing, because a larger sigma^2
    shrinks more and leaves a larger residual: from any start the rounds go monotonically to a fixed point, from
    above to the largest one. Aitken's extrapolation shortens the walk. COLLAPSED: it went below `smallest`.
    """
    n, rows = len(moment), len(y)
    square = float(y @ y)
    theta, hessian = np.zeros(n), gram.copy()
    before, slope = 0.0, 0.0
    for rounds in range(1, 501):
        for i in range(n):
            hessian[i, i] = gram[i, i] + variance * ridge[i]
        ended, theta = minimise(hessian, moment, n_smooth, variance / tau, theta[n_smooth:].copy())
        if not ended:
            return SINGULAR, theta, variance, rounds
        found = noise_variance(squared_residual(design, y, gram, moment, square, theta), rows)
        if not found > smallest:
            return COLLAPSED, theta, variance, rounds
        change = np.log(found / variance)
        if abs(change) < 1e-10:
            refine(design, y, gram, ridge, found / tau, theta, found)
            residual = y - design @ theta
            return CONVERGED, theta, noise_variance(float(residual @ residual), rows), rounds
        slope = change / before if before != 0.0 else 0.0
        if rounds % 3 == 0 and 0.0 < slope < 0.9:
            change, before = change / (1.0 - slope), 0.0
        else:
            before = change
        variance *= np.exp(change)
    return STALLED, theta, variance, 500
