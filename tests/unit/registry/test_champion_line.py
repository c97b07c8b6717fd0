"""The recorded moves of a champion replay into the line that a rollback walks back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from registry.versions import Promotion, champion_line, promotions_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def promote(version: int, previous: int | None) -> Promotion:
    return Promotion("promote", version, previous, START)


def rollback(version: int, previous: int) -> Promotion:
    return Promotion("rollback", version, previous, START)


def test_two_rollbacks_go_two_steps_back() -> None:
    """A rollback takes its version off the line instead of becoming the thing to return to."""
    moves = [promote(1, None), promote(2, 1), promote(3, 2)]
    assert champion_line(moves, 3) == [1, 2, 3]
    moves.append(rollback(2, 3))
    assert champion_line(moves, 2) == [1, 2]
    moves.append(rollback(1, 2))
    assert champion_line(moves, 1) == [1]


def test_a_champion_set_by_hand_comes_after_the_recorded_ones() -> None:
    """MLflow's own alias call leaves no record, but what it replaced is known."""
    assert champion_line([promote(1, None), promote(2, 1)], 7) == [1, 2, 7]
    assert champion_line([], 4) == [4]


def test_a_move_that_was_recorded_but_never_happened_is_left_out() -> None:
    """A job that is killed between the record and the alias leaves the old champion on top."""
    assert champion_line([promote(1, None), promote(2, 1)], 1) == [1]


def test_a_rollback_from_a_version_set_by_hand_keeps_the_line() -> None:
    """1 is recorded, 5 was set by hand, the rollback went to 1: the line is 1 alone."""
    assert champion_line([promote(1, None), rollback(1, 5)], 1) == [1]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_walking_back_undoes_promotions_in_turn(versions: list[int]) -> None:
    """However often versions were promoted, n rollbacks undo the last n promotions."""
    moves = [promote(version, before) for version, before in zip(versions, [None, *versions], strict=False)]
    line = champion_line(moves, versions[-1])
    assert line == versions


@given(st.text(max_size=30), st.integers(1, 9), st.none() | st.integers(1, 9))
def test_a_move_survives_being_a_tag(reason: str, version: int, previous: int | None) -> None:
    """Tags are how moves are kept; their keys sort by time."""
    late = Promotion("promote", version, previous, START + timedelta(microseconds=1), reason)
    early = Promotion("rollback", version, previous, START, reason)
    assert promotions_of(dict([late.as_tag(), ("another tag", "x"), early.as_tag()])) == [early, late]
