"""Which segments are a caller's: globs of keys, and the template of users."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.access import EVERYBODY, Caller, OwnSegments, is_loopback

SUBJECTS = st.text("ab4_*?[]-:|", min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("globs", "segment", "may"),
    [
        (("user_42_*",), "user_42_food", True),
        (("user_42_*",), "user_42_", True),
        (("user_42_*",), "user_421_food", False),
        (("user_42_*",), "User_42_food", False),
        (("user_42_*",), "x_user_42_food", False),
        (("user_42_*",), "user_42_food\nuser_1", True),
        (("a", "b?"), "b1", True),
        (("a", "b?"), "a1", False),
        ((), "a", False),
        (("*",), "a/b:c%", True),
    ],
)
def test_a_key_reads_what_its_globs_match(globs: tuple[str, ...], segment: str, may: bool) -> None:
    """As fnmatchcase does, from the first character to the last."""
    assert Caller("k", globs).may_read(segment) is may


@pytest.mark.parametrize(
    ("globs", "prefix"),
    [(("user_42_*",), "user_42_"), (("ab*", "ac?"), "a"), (("x", "y*"), ""), (("[ab]c",), ""), ((), "")],
)
def test_the_prefix_is_what_all_readable_keys_start_with(globs: tuple[str, ...], prefix: str) -> None:
    """It narrows what a listing asks the registry for."""
    assert Caller("k", globs).prefix == prefix


@pytest.mark.parametrize(
    ("globs", "prefixes"),
    [
        (("user_42_*", "shared_*"), ("shared_", "user_42_")),
        (("ab*", "a?", "abc", "b"), ("a", "b")),
        (("x*", "*y"), ("",)),
        ((), ()),
    ],
)
def test_the_prefixes_are_apart_and_ascend(globs: tuple[str, ...], prefixes: tuple[str, ...]) -> None:
    """So that a listing reads each of a caller's ranges once."""
    assert Caller("k", globs).prefixes == prefixes


def test_everybody_may_everything() -> None:
    """The caller of a service that asks for no keys."""
    assert EVERYBODY.may_read("any")
    assert EVERYBODY.inline
    assert EVERYBODY.metrics


@given(SUBJECTS, SUBJECTS, st.text("ab4_*-:", max_size=12), st.sampled_from(["user_{sub}_*", "{sub}:*", "u_{sub}"]))
def test_no_segment_belongs_to_two_users(one: str, other: str, tail: str, template: str) -> None:
    """Whatever the subjects hold: wildcards, separators, or each other."""
    own = OwnSegments(template)
    for subject in (one, other):
        for segment in (template.replace("{sub}", subject).replace("*", tail), "user_" + tail, tail):
            patterns = {who: own.of(who) for who in (one, other)}
            readers = {who for who, glob in patterns.items() if glob and Caller(who, (glob,)).may_read(segment)}
            assert len(readers) <= 1


def test_a_user_reads_his_own_segments() -> None:
    """Supabase's subjects are UUIDs."""
    subject = "4c1d5c2e-0a0b-4a7e-9d0b-2f0d3a9b8c7d"
    glob = OwnSegments("user_{sub}_*").of(subject)
    assert glob is not None
    assert Caller("u", (glob,)).may_read(f"user_{subject}_food")


@pytest.mark.parametrize(
    "template",
    ["", "user_*", "user_{sub}*", "user_{sub}a_*", "*_{sub}_*", "{sub}_{sub}_*", "user_{id}_*", "{sub}?", "{sub}-*"],
)
def test_a_template_that_could_mix_users_up_is_refused(template: str) -> None:
    """No place for the subject, two, or an end that cannot be told."""
    with pytest.raises(ValueError, match="is no template"):
        OwnSegments(template)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_alone(host: str, loopback: bool) -> None:
    """An address to listen on, or one that somebody calls from."""
    assert is_loopback(host) is loopback
