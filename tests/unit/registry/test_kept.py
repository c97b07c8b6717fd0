"""Which versions a prune keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities.model_registry import RegisteredModel, RegisteredModelAlias, RegisteredModelTag

from registry.prune import kept
from registry.versions import Promotion, promotions_of, rollback_target

VERSIONS = st.integers(1, 12)


def model_of(aliases: dict[str, int], moves: list[Promotion]) -> RegisteredModel:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    tags = [
        Promotion(move.action, move.version, move.previous, start + timedelta(seconds=second)).as_tag()
        for second, move in enumerate(moves)
    ]
    return RegisteredModel(
        "forecast.a",
        tags=[RegisteredModelTag(*tag) for tag in tags],
        aliases=[RegisteredModelAlias(alias, str(number)) for alias, number in aliases.items()],
    )


MOVES = st.lists(
    st.builds(Promotion, st.sampled_from(["promote", "rollback"]), VERSIONS, st.none() | VERSIONS), max_size=6
)


@given(
    numbers=st.sets(VERSIONS, min_size=1),
    moves=MOVES,
    keep=st.integers(1, 4),
    data=st.data(),
)
def test_a_rollback_after_a_prune_goes_where_it_would_have_gone_before(
    numbers: set[int], moves: list[Promotion], keep: int, data: st.DataObject
) -> None:
    """Whatever was promoted, rolled back, deleted or set by hand."""
    champion = data.draw(st.sampled_from(sorted(numbers)))
    model = model_of({"champion": champion}, moves)
    stay = kept(model, numbers, keep) & numbers
    recorded = promotions_of(model.tags)
    assert champion in stay
    assert set(sorted(numbers)[-keep:]) <= stay
    assert len(stay) <= keep + 2
    assert rollback_target(recorded, champion, stay) == rollback_target(recorded, champion, numbers)


def test_what_an_alias_names_stays() -> None:
    """Champion, challenger or any other; without a champion there is nothing to roll back."""
    assert kept(model_of({"challenger": 2, "shadow": 1}, []), range(1, 9), keep=2) == {1, 2, 7, 8}
    assert kept(model_of({"champion": 5}, [Promotion("promote", 5, 3)]), range(1, 9), keep=1) == {3, 5, 8}
