"""The normal distribution is scipy's, which serving does without."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import ndtr, ndtri

from forecasting.normal import cumulative, quantile

NUMBERS = st.floats(-40.0, 40.0) | st.sampled_from([np.inf, -np.inf, np.nan, 0.0, -9.0, 9.0, 1e300])
ANY = arrays.arrays(np.float64, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0), elements=NUMBERS)


@given(ANY)
def test_phi_is_scipys_in_any_shape(x: np.ndarray) -> None:
    got = cumulative(x)
    assert got.shape == x.shape
    np.testing.assert_allclose(got, ndtr(x), rtol=0, atol=4e-16)


def test_its_tail_keeps_its_digits_until_nothing_is_left() -> None:
    x = np.linspace(-8.9, 0.0, 100_001)
    np.testing.assert_allclose(cumulative(x), ndtr(x), rtol=1e-10)
    assert cumulative(np.array([-9.1, 9.1])).tolist() == [0.0, 1.0]
    assert np.all(np.diff(cumulative(x)) > 0)


@given(ANY)
def test_a_number_is_the_same_to_the_bit_whatever_stands_beside_it(x: np.ndarray) -> None:
    company = np.concatenate([np.linspace(-10.0, 10.0, 20_000), x.ravel(), [np.nan]])
    assert cumulative(company)[20_000:-1].tobytes() == cumulative(x).tobytes()
    for number in x.ravel()[:3]:
        assert cumulative(np.array([number])).tobytes() == cumulative(np.full(5, number))[-1:].tobytes()


@given(st.floats(1e-300, 1.0, exclude_max=True))
def test_a_quantile_is_scipys(probability: float) -> None:
    assert quantile(probability) == pytest.approx(float(ndtri(probability)), rel=1e-13, abs=1e-15)
