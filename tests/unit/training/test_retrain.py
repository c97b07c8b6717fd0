"""What counts as stale."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from registry.versions import ModelVersion
from training.errors import ConfigError
from training.resume import check_same
from training.retrain import parse_age, trained_through

MADE = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "age"),
    [("12h", timedelta(hours=12)), ("7d", timedelta(days=7)), (" 2w ", timedelta(weeks=2)), ("0d", timedelta(0))],
)
def test_an_age_is_a_number_of_hours_days_or_weeks(text: str, age: timedelta) -> None:
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["", "7", "d", "7 d", "-7d", "1.5d", "7days", "7D", "1000000w"])
def test_anything_else_is_no_age(text: str) -> None:
    with pytest.raises(ConfigError, match="12h, 7d or 2w"):
        parse_age(text)


@pytest.mark.parametrize(
    ("tag", "through"),
    [
        ("2024-02-09T00:00:00", datetime(2024, 2, 9, tzinfo=UTC)),
        ("2024-02-09T02:00:00+02:00", datetime(2024, 2, 9, tzinfo=UTC)),
        ("soon", MADE),
        (None, MADE),
    ],
)
def test_a_version_was_trained_through_what_its_tag_says_or_else_when_it_was_made(
    tag: str | None, through: datetime
) -> None:
    tags = {} if tag is None else {"forecast.trained_through": tag}
    assert trained_through(ModelVersion("a", "forecast.a", 1, None, tags, MADE)) == through


def test_a_job_goes_on_at_another_pace_but_with_no_other_configuration() -> None:
    """The message names every key that differs, those that one side lacks among them."""
    before = {"segments_found": "5", "workers": "2", "chunk": "200", "engine.name": "local", "promote": "True"}
    check_same(before, {"workers": "4", "chunk": "10", "engine.name": "ray", "promote": "True"}, "j")
    with pytest.raises(ConfigError) as caught:
        check_same(before, {"promote": "False", "gate.min_coverage": "0.5"}, "j")
    assert str(caught.value).splitlines()[1:] == [
        "  promote: it was True, and is False",
        "  gate.min_coverage: it was not there, and is 0.5",
    ]
