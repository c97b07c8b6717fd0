"""The law of the closed-form intervals against an independent inversion, against moments, and where its tables end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from forecasting.interval_table import linear_half_width, solved_half_width, trend_half_width, upper_tail
from forecasting.sampler_law import lags_spread, steps_spread
from forecasting.trend_law import SpreadNodes, spread_nodes

Floats = npt.NDArray[np.float64]


def _inverted(probability: float, intensity: float, noise: float) -> float:
    """The quantile of U + noise * Z by Gil-Pelaez's formula and bisection: nothing in common with our own way."""
    reach = 12.0 * noise + 45.0 + 8.0 * np.sqrt(intensity)
    u = (np.arange(int(8.5 / noise * reach / np.pi)) + 0.5) * np.pi / reach  # beyond, the noise leaves nothing
    atom = np.exp(-intensity)
    smooth = atom * np.expm1(intensity * np.arctan(u) / u) * np.exp(-0.5 * (noise * u) ** 2) / (u * reach)
    low, high = 0.0, reach / 2
    for _ in range(60):
        x = 0.5 * (low + high)
        below = 0.5 * (1 - atom) + np.sin(x * u) @ smooth + atom * ndtr(x / noise)
        low, high = (x, high) if below < probability else (low, x)
    return 0.5 * (low + high)


@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.999])
@pytest.mark.parametrize("noise", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("intensity", [1e-3, 0.05, 0.5, 5.0, 30.0])
def test_the_solver_agrees_with_an_independent_inversion(probability: float, noise: float, intensity: float) -> None:
    """To 1e-10, and the table to 4e-4."""
    truth = _inverted(probability, intensity, noise)
    arrays = np.array([intensity]), np.ones(1), np.array([noise])
    assert solved_half_width(probability, *arrays)[0] == pytest.approx(truth, rel=1e-10)
    assert linear_half_width(probability, *arrays)[0] == pytest.approx(truth, rel=4e-4)


def test_the_nodes_have_the_moments_of_the_law() -> None:
    """Mass 1 - exp(-lambda), E V = 2/3 lambda, var V = 8/5 lambda; also read between the grid and beyond it."""
    intensity = np.array([1e-4, 0.01, 1.0, 20.0, 60.0])
    spread, weight = spread_nodes(intensity)
    np.testing.assert_allclose(weight.sum(axis=1), -np.expm1(-intensity), rtol=1e-9)
    np.testing.assert_allclose((weight * spread**2).sum(axis=1), intensity * 2 / 3, rtol=1e-9)
    intensity = np.array([0.0123, 3.3, 59.0, 61.0, 900.0])
    _, spread, weight = SpreadNodes.build(32).at(intensity)
    second = (intensity * 2 / 3) ** 2 + intensity * 8 / 5
    np.testing.assert_allclose((weight * spread**4).sum(axis=1), second, rtol=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    log_intensity=st.floats(-14.0, 8.0),
    log_ratio=st.floats(-12.0, 12.0),
    probability=st.sampled_from([0.6, 0.9, 0.975]),
)
def test_the_table_continues_where_it_ends(log_intensity: float, log_ratio: float, probability: float) -> None:
    """Inside, outside and across every edge: the solver's half-width, within 1.5e-3, where the solver can go."""
    intensity, ratio = np.exp([log_intensity]), np.exp([log_ratio])
    got = linear_half_width(probability, intensity, np.ones(1), ratio)
    assert got[0] >= float(ndtri(probability)) * ratio[0] * (1 - 1e-3)
    if intensity[0] <= 60.0:
        truth = solved_half_width(probability, intensity, np.ones(1), ratio)
        np.testing.assert_allclose(got, truth, rtol=1.5e-3)


@settings(max_examples=60, deadline=None)
@given(
    log_intensities=st.lists(st.floats(-14.0, 8.0), min_size=1, max_size=6),
    log_jump=st.floats(-14.0, 3.0),
    probability=st.sampled_from([0.6, 0.9, 0.975]),
)
def test_a_half_width_is_the_same_alone_and_in_company(
    log_intensities: list[float], log_jump: float, probability: float
) -> None:
    """To the last bit, whatever its neighbours: rows that the table knows, that it does not, and that do not move."""
    intensity = np.append(np.exp(log_intensities), 0.0)
    jump = np.exp(log_jump) * np.arange(len(intensity), 0, -1)
    jump[-1] = 0.0
    together = linear_half_width(probability, intensity, jump, np.full(len(jump), 0.05))
    trends = trend_half_width(probability, intensity, jump)
    for row in range(len(intensity)):
        one = slice(row, row + 1)
        assert linear_half_width(probability, intensity[one], jump[one], np.full(1, 0.05))[0] == together[row]
        assert trend_half_width(probability, intensity[one], jump[one])[0] == trends[row]


def test_a_row_without_noise_is_solved_as_one_beside_rows_with_a_little() -> None:
    """Their equations differ: without noise the law has an atom at 0."""
    intensity, jump, noise = np.array([1.0, 1.0, 0.2, 0.2]), np.ones(4), np.array([0.0, 1e-3, 0.0, 0.05])
    together = linear_half_width(0.9, intensity, jump, noise)
    alone = [linear_half_width(0.9, *(part[row : row + 1] for part in (intensity, jump, noise)))[0] for row in range(4)]
    assert together.tolist() == alone


@pytest.mark.parametrize("probability", [0.6, 0.75, 0.9, 0.975, 0.995])
def test_trend_half_widths_are_the_solvers(probability: float) -> None:
    """To 3e-5 of the standard deviation, and to 6e-4 of themselves where they are not close to 0."""
    first = -np.log(2 * probability - 1)
    intensity = first + np.exp(np.random.default_rng(5).uniform(-12.0, np.log(60.0 - first), 2000))
    truth = solved_half_width(probability, intensity, np.ones(2000), np.zeros(2000))
    got, deviation = trend_half_width(probability, intensity, np.ones(2000)), np.sqrt(intensity * 2 / 3)
    assert np.max(np.abs(got - truth) / deviation) < 3e-5
    large = truth > 0.01 * deviation
    np.testing.assert_allclose(got[large], truth[large], rtol=6e-4)


def test_trend_bounds_are_0_while_a_change_is_unlikely() -> None:
    """At 80 % until the intensity is -log(0.8)."""
    half = trend_half_width(0.9, np.array([0.0, 0.2, 0.2231, 0.2232, 1.0]), np.ones(5))
    assert np.all(half[:3] == 0.0)
    assert np.all(half[3:] > 0.0)


def test_far_ahead_the_trend_is_nearly_normal() -> None:
    """And the half-width does not jump where the table ends."""
    half = trend_half_width(0.9, np.array([59.999, 60.001, 6e6]), np.ones(3))
    assert half[1] == pytest.approx(half[0], rel=1e-4)
    assert half[2] == pytest.approx(float(ndtri(0.9)) * np.sqrt(4e6), rel=1e-4)


@pytest.mark.parametrize("width", [0.0, 1.0, -0.2, 80.0, float("nan")])
def test_a_width_that_is_none_is_refused(width: float) -> None:
    """Naming it."""
    with pytest.raises(ValueError, match="not between 0 and 1"):
        upper_tail(width)


@pytest.mark.parametrize(("count", "likelihood"), [(1, 0.3), (30, 0.03), (40, 1.0), (150, 0.5), (365, 0.034)])
def test_the_samplers_law_has_the_samplers_moments(count: int, likelihood: float) -> None:
    """Each change has the variance 2 lag^2, the fourth moment 24 lag^4: to 1e-4, by even steps and by any lags."""
    row = np.arange(1, count + 1)
    lags = np.where(row[:, None] >= row, row[:, None] - row + 0.5, 0.0)
    second = 2 * likelihood * (lags**2).sum(axis=1)
    spread_of_variance = (8 * likelihood - 4 * likelihood**2) * (lags**4).sum(axis=1)
    for law in (steps_spread(count, likelihood), lags_spread(lags[-20:], likelihood)):
        own = slice(count - len(law.atom), None)
        np.testing.assert_allclose(law.atom + law.weight.sum(axis=1), 1.0, rtol=1e-12)
        np.testing.assert_allclose((law.weight * law.spread**2).sum(axis=1), second[own], rtol=1e-4)
        fourth = spread_of_variance[own] + second[own] ** 2
        np.testing.assert_allclose((law.weight * law.spread**4).sum(axis=1), fourth, rtol=2e-4)


def test_no_lags_are_no_displacement() -> None:
    """The law of a row before which nothing could change is its atom."""
    law = lags_spread(np.zeros((2, 3)), 0.5)
    np.testing.assert_array_equal(law.atom, 1.0)
    np.testing.assert_array_equal(law.weight, 0.0)
