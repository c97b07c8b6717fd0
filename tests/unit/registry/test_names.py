"""A segment's key survives the way into a registered model's name and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import BadSegment
from registry.names import LONGEST, PREFIX, model_name, segment_of

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=80)


@given(KEYS)
def test_every_key_comes_back(key: str) -> None:
    """The pair of functions is a bijection onto names that MLflow takes."""
    name = model_name(key)
    assert segment_of(name) == key
    assert not {"/", ":"} & set(name)


@given(KEYS, KEYS)
def test_two_keys_never_share_a_name(one: str, other: str) -> None:
    """Escaping is unambiguous, also for keys that look escaped already."""
    assert (model_name(one) == model_name(other)) == (one == other)


def test_keys_that_look_escaped_are_kept_apart() -> None:
    """`a/b` and `a%2Fb` are two segments."""
    assert model_name("a/b") == f"{PREFIX}a%2Fb"
    assert model_name("a%2Fb") == f"{PREFIX}a%252Fb"


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800", "x" * LONGEST, "/" * 100])
def test_a_key_that_no_database_takes_is_refused(key: str) -> None:
    """Empty, NUL, half a surrogate pair, or too long once escaped."""
    with pytest.raises(BadSegment):
        model_name(key)


def test_a_name_of_another_kind_is_no_segment() -> None:
    """Registered models that are not ours stay out."""
    with pytest.raises(ValueError, match="churn"):
        segment_of("churn")
