"""The exact maximum of Prophet's posterior, in process.

A model that is linear in its parameters is solved at once (`linear`); the others, with multiplicative features or
logistic growth, are climbed (`curved`) from several places (`starts`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecasting.curved import CurvedModel, climb
from forecasting.linear import PERFECT, Normal, solve_linear
from forecasting.posterior import MapParameters, MapProblem, MapSolution, NoFiniteOptimum
from forecasting.starts import beyond_zero, initial_values, starts

SOLVER = "exact"


def solve(problem: MapProblem, start: MapParameters | None = None, normal: Normal | None = None) -> MapSolution:
    """The maximum of the posterior.

    start: where to look first when the model is not linear; Prophet's own initial values are good ones.
    normal: `Normal.of(problem)`, where it is known from another series of a linear model on the same features.
    Raises NoFiniteOptimum when the fit can be made perfect, so that sigma would go to 0 and the posterior to
    infinity, when the data are not finite, or when rounding keeps the solver from the optimum.
    """
    checked = (problem.y, problem.cap, problem.t, *(() if normal else (problem.features,)))
    if not all(np.isfinite(part).all() for part in checked):
        raise NoFiniteOptimum("the scaled history or its features hold values that are not finite")
    if not np.any(problem.y):
        raise NoFiniteOptimum("every y is 0, and a perfect fit has no finite optimum")
    if problem.is_linear:
        solution = solve_linear(normal or Normal.of(problem), problem.y)
    else:
        solution = _solve_curved(problem, initial_values(problem) if start is None else start)
    if not np.isfinite(solution.log_posterior):
        raise NoFiniteOptimum("the solver ended where the posterior is not finite")
    return solution


def _solve_curved(problem: MapProblem, first: MapParameters) -> MapSolution:
    """The best of the modes that a few starts lead to; a start that leads to none is passed over."""
    model, smallest = CurvedModel(problem), PERFECT * float(problem.y @ problem.y) / len(problem.y)
    ends: list[MapSolution] = []
    reasons: list[NoFiniteOptimum] = []

    def climb_from(start: MapParameters) -> None:
        try:
            ends.append(climb(model, start, smallest))
        except NoFiniteOptimum as reason:
            reasons.append(reason)

    for start in starts(problem, first):
        climb_from(start)
    if not ends:
        raise reasons[0]
    if problem.growth == "logistic":
        mirrored = beyond_zero(_highest(ends).parameters, problem.changepoints_t)
        if mirrored is not None:
            climb_from(mirrored)
    return replace(_highest(ends), rounds=sum(end.rounds for end in ends))


def _highest(ends: list[MapSolution]) -> MapSolution:
    return max(ends, key=lambda end: end.log_posterior)
