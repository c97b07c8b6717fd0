"""The closed-form intervals against an independent inversion, against simulation, and against their own promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from forecasting.interval_table import linear_half_width, solved_half_width, trend_half_width
from forecasting.intervals import Mode, Uncertain, bounds, yhat_quantile
from forecasting.trend_law import SpreadNodes, spread_nodes

Floats = npt.NDArray[np.float64]

AHEAD = np.array([0.002, 0.01, 0.04, 0.1, 0.25, 0.5])


def _rows(
    growth: str = "linear",
    rate: float = 25.0,
    scale: float = 0.08,
    sigma: float = 0.05,
    draws: int = 1,
    factor: float = 1.0,
    ahead: Floats = AHEAD,
) -> Uncertain:
    rng = np.random.default_rng(7)
    shape = (len(ahead), draws)
    wobble = rng.normal(size=draws) * (0.3 if draws > 1 else 0.0)
    theta = 0.4 + 2.0 * ahead[:, None] * (1 + wobble)
    cap = np.full(len(ahead), 1.3)
    level = cap[:, None] / (1 + np.exp(-theta)) if growth == "logistic" else 0.7 + ahead[:, None] * 0.2 + 0.05 * wobble
    trend = np.broadcast_to(50.0 * level, shape).copy()
    return Uncertain(
        growth,
        rate,
        50.0,
        scale * np.exp(0.3 * wobble),
        sigma * np.exp(0.1 * wobble),
        ahead,
        trend * factor + 3.0,
        trend,
        np.full(shape, factor),
        np.broadcast_to(theta, shape).copy() if growth == "logistic" else None,
        cap if growth == "logistic" else None,
    )


def _simulate(rows: Uncertain, samples: int, seed: int) -> Floats:
    """(samples, R) observations of the process that Prophet documents: changes at the times of a Poisson process."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(samples // 20_000):
        draw = rng.integers(rows.yhat.shape[1], size=20_000)
        last = rows.horizon.max()
        count = rng.poisson(0.0 if rows.growth == "flat" else rows.rate * last, size=20_000)
        real = np.arange(max(count.max(), 1)) < count[:, None]
        when = rng.random(real.shape) * last
        delta = rng.laplace(size=real.shape) * rows.laplace_scale[draw][:, None] * real
        noise = rng.normal(size=(20_000, len(rows.horizon))) * rows.sigma[draw][:, None] * rows.y_scale
        moved = np.stack([(delta * np.maximum(h - when, 0)).sum(axis=1) for h in rows.horizon], axis=1)
        if rows.theta is not None and rows.cap is not None:
            start = rows.theta[:, draw].T
            moved = rows.cap * (1 / (1 + np.exp(-start - moved)) - 1 / (1 + np.exp(-start)))
        parts.append(rows.yhat[:, draw].T + rows.factor[:, draw].T * moved * rows.y_scale + noise)
    return np.concatenate(parts)


SHORT = {
    "daily": _rows(),
    "multiplicative": _rows(factor=-1.4, scale=0.2),
    "logistic": _rows("logistic", scale=0.5, sigma=0.01),
    "mcmc": _rows(draws=60),
}
CONFIGURATIONS = SHORT | {
    "rare changes": _rows(rate=1.0, scale=0.5, sigma=0.02),
    "frequent changes": _rows(rate=150.0, scale=0.03),
    "sub-daily": _rows(ahead=np.array([1e-5, 1e-4, 1e-3, 3e-3]), scale=1.5, sigma=0.004),
    "far ahead": _rows(ahead=np.array([0.5, 1.0, 3.0, 6.0])),
    "little noise": _rows(sigma=1e-4),
    "flat": _rows("flat"),
    "logistic, rare changes": _rows("logistic", rate=2.0, scale=1.0, sigma=0.03),
    "logistic, mcmc": _rows("logistic", scale=0.5, draws=20),
    "flat, mcmc": _rows("flat", draws=60),
}


def _compare(rows: Uncertain, samples: int) -> tuple[float, float]:
    """The rms and largest relative error of the half-width at 80 % against simulation."""
    truth = np.quantile(_simulate(rows, samples, seed=1), [0.1, 0.9], axis=0)
    got = bounds(rows, 0.8)
    error = (got.yhat_upper - got.yhat_lower) / (truth[1] - truth[0]) - 1.0
    return float(np.sqrt((error**2).mean())), float(np.abs(error).max())


@pytest.mark.parametrize("name", SHORT)
def test_half_widths_are_those_of_a_simulation(name: str) -> None:
    """40,000 samples know the half-width to about half a percent."""
    rms, largest = _compare(SHORT[name], 40_000)
    assert rms < 0.012
    assert largest < 0.025


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_half_widths_are_those_of_a_long_simulation(name: str) -> None:
    """200,000 samples: 0.5 % rms and 1 % at most, twice that for logistic growth."""
    rms, largest = _compare(CONFIGURATIONS[name], 200_000)
    slack = 2.0 if "logistic" in name else 1.0
    print(f"{name}: rms {rms:.4%}, max {largest:.4%}")  # noqa: T201 - the figures of docs/forecasting.md
    assert rms < 0.005 * slack
    assert largest < 0.01 * slack


def _inverted(probability: float, intensity: float, noise: float) -> float:
    """The quantile of U + noise * Z by Gil-Pelaez's formula and bisection: nothing in common with our own way."""
    reach = 12.0 * noise + 45.0 + 8.0 * np.sqrt(intensity)
    u = (np.arange(1 << 17) + 0.5) * np.pi / reach
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
    """To 1e-10, and the table to 2e-4."""
    truth = _inverted(probability, intensity, noise)
    arrays = np.array([intensity]), np.ones(1), np.array([noise])
    assert solved_half_width(probability, *arrays)[0] == pytest.approx(truth, rel=1e-10)
    assert linear_half_width(probability, *arrays)[0] == pytest.approx(truth, rel=2e-4)


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
    """Inside, outside and across every edge: the solver's half-width, within 1e-3, where the solver can go."""
    intensity, ratio = np.exp([log_intensity]), np.exp([log_ratio])
    got = linear_half_width(probability, intensity, np.ones(1), ratio)
    assert got[0] >= float(ndtri(probability)) * ratio[0] * (1 - 1e-3)
    if intensity[0] <= 60.0:
        truth = solved_half_width(probability, intensity, np.ones(1), ratio)
        np.testing.assert_allclose(got, truth, rtol=1e-3)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_row_is_the_same_alone_and_in_company(name: str) -> None:
    """To the last bit, and so is the same call twice."""
    rows = CONFIGURATIONS[name]
    together = bounds(rows, 0.8)
    for place in range(len(rows.horizon)):
        one = slice(place, place + 1)
        alone = bounds(
            replace(
                rows,
                horizon=rows.horizon[one],
                yhat=rows.yhat[one],
                trend=rows.trend[one],
                factor=rows.factor[one],
                theta=None if rows.theta is None else rows.theta[one],
                cap=None if rows.cap is None else rows.cap[one],
            ),
            0.8,
        )
        for field in ("yhat_lower", "yhat_upper", "trend_lower", "trend_upper"):
            assert getattr(alone, field)[0] == getattr(together, field)[place], field
    again = bounds(rows, 0.8)
    assert again.yhat_lower.tobytes() == together.yhat_lower.tobytes()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_quantiles_increase_with_the_probability(name: str) -> None:
    """And the trend lies inside its own bounds for a point estimate."""
    rows = CONFIGURATIONS[name]
    values = np.stack([yhat_quantile(rows, p) for p in (0.02, 0.1, 0.35, 0.5, 0.65, 0.9, 0.98)])
    assert np.all(np.diff(values, axis=0) > 0)
    if rows.trend.shape[1] == 1:
        got = bounds(rows, 0.8)
        assert np.all((got.trend_lower <= rows.trend[:, 0]) & (rows.trend[:, 0] <= got.trend_upper))


def test_rows_inside_the_history_have_only_noise() -> None:
    """Half-width z sigma, trend bounds 0; calibrated factors scale yhat's distance and leave the trend's alone."""
    rows = _rows(ahead=np.array([-0.5, 0.0]))
    got = bounds(rows, 0.8, factors=np.array([1.0, 2.0]))
    half = float(ndtri(0.9)) * 0.05 * 50.0
    np.testing.assert_allclose(got.yhat_upper - rows.yhat[:, 0], [half, 2 * half], rtol=1e-12)
    np.testing.assert_array_equal(got.trend_lower, rows.trend[:, 0])


def test_trend_bounds_are_0_while_a_change_is_unlikely() -> None:
    """At 80 % until the intensity is -log(0.8)."""
    half = trend_half_width(0.9, np.array([0.0, 0.2, 0.2231, 0.2232, 1.0]), np.ones(5))
    assert np.all(half[:3] == 0.0)
    assert np.all(half[3:] > 0.0)


def test_compat_is_the_vectorized_samplers_law() -> None:
    """Against its own recipe: Bernoulli changes at the rows, halved with the row before, summed twice."""
    ahead = np.arange(1, 31) * 0.01
    rows = _rows(ahead=ahead)
    rng = np.random.default_rng(3)
    changes = (rng.random((100_000, 30)) < 0.25) * rng.laplace(0, 0.08, (100_000, 30))
    changes[:, 1:], changes[:, 0] = (changes[:, 1:] + changes[:, :-1]) / 2, changes[:, 0] / 2
    values = changes.cumsum(axis=1).cumsum(axis=1) * 0.01 + rng.normal(0, 0.05, changes.shape)
    low, high = np.quantile(values, [0.1, 0.9], axis=0) * 50.0
    got = bounds(rows, 0.8, mode=Mode.COMPAT)
    np.testing.assert_allclose(got.yhat_upper - got.yhat_lower, high - low, rtol=0.012)


def test_compat_is_refused_where_it_is_not_known() -> None:
    """Never a guess."""
    with pytest.raises(ValueError, match="point estimates of linear or flat"):
        bounds(SHORT["mcmc"], 0.8, mode=Mode.COMPAT)
    with pytest.raises(ValueError, match="at least two rows"):
        bounds(_rows(ahead=np.array([0.1])), 0.8, mode=Mode.COMPAT)
