"""The pages of a catalog: together they hold what a caller may read, each once and in order, whatever the limit."""

from __future__ import annotations

import asyncio
import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecasting.table import ModelTable
from serving.access import EVERYBODY, Caller
from serving.listing import Listing, Page
from serving.outcomes import Refused
from serving.schemas import ServedModel, ServedModels
from serving.snapshot import Contents, Other, Rejection, open_snapshot
from serving.snapshot_writer import Part, write_snapshot
from tests.unit.serving.test_snapshot import model_of, row_of

RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
SEGMENTS = st.text("ab_ü\U0001f600", min_size=1, max_size=4)
GLOBS = st.lists(st.text("ab_ü*?", min_size=1, max_size=4), max_size=4)
TIME = "2026-01-01T00:00:00Z"


def _listing(path: Path, rows: set[str], others: set[str], rejected: set[str]) -> Listing:
    contents = Contents(
        TIME,
        "the registry",
        {segment: Other(2, 0, row_of(segment, 2).served) for segment in others},
        {segment: Rejection(3, 0, f"{segment} is no good", TIME) for segment in rejected},
    )
    part = Part([row_of(segment, 1) for segment in rows], ModelTable.pack([model_of(1)] * len(rows)))
    write_snapshot(path, contents, [part])
    return Listing(open_snapshot(path))


def _read(page: Page) -> ServedModels:
    return ServedModels.model_validate_json(page.as_json())


def _pages(listing: Listing, caller: Caller, limit: int, *, rejected: bool = False) -> list[list[ServedModel]]:
    async def all_of_them() -> list[list[ServedModel]]:
        pages, token = [], None
        while True:
            page = _read(await listing.page(limit, token, caller, rejected=rejected))
            pages.append(page.models)
            if (token := page.next_page_token) is None:
                return pages

    return asyncio.run(all_of_them())


@RELAXED
@given(
    st.sets(SEGMENTS, max_size=12),
    st.sets(SEGMENTS, max_size=4),
    st.sets(SEGMENTS, max_size=4),
    GLOBS,
    st.integers(1, 5),
)
def test_the_pages_hold_what_a_caller_may_read_in_order(
    tmp_path: Path, rows: set[str], others: set[str], rejected: set[str], globs: list[str], limit: int
) -> None:
    """Each segment once; only the last page is not full."""
    others -= rows
    listing = _listing(tmp_path / "catalog", rows, others, rejected)
    caller = Caller("somebody", tuple(globs))
    readable = {one for one in rows | others | rejected if any(fnmatchcase(one, glob) for glob in globs)}
    pages = _pages(listing, caller, limit)
    assert [model.model_id for page in pages for model in page] == sorted(readable)
    assert all(len(page) == limit for page in pages[:-1])
    for model in (model for page in pages for model in page):
        assert model.version == (1 if model.model_id in rows else 2 if model.model_id in others else None)
        assert (model.rejected is not None) == (model.model_id in rejected)
    found = _pages(listing, caller, limit, rejected=True)
    assert [model.model_id for page in found for model in page] == sorted(readable & rejected)


def test_a_page_goes_on_where_the_last_one_ended_though_the_catalog_changed(tmp_path: Path) -> None:
    """Also after a segment that is gone, and what came before it is not told again."""
    first = _listing(tmp_path / "first", {"a", "b", "c", "d"}, set(), set())
    page = _read(asyncio.run(first.page(2, None, EVERYBODY, rejected=False)))
    later = _listing(tmp_path / "later", {"a", "aa", "c", "cc", "d"}, {"bb"}, set())
    rest = _read(asyncio.run(later.page(9, page.next_page_token, EVERYBODY, rejected=False)))
    assert [model.model_id for model in rest.models] == ["bb", "c", "cc", "d"]


def test_why_a_champion_was_rejected_is_told_to_those_who_run_the_service(tmp_path: Path) -> None:
    """Others learn the version that is not served."""
    listing = _listing(tmp_path / "catalog", {"a"}, set(), {"a", "new"})
    reader = Caller("reader", ("*",))
    told: dict[str, Any] = {
        f"{caller.name} {segment}": json.loads(listing.one(segment, caller) or b"null")
        for caller in (EVERYBODY, reader)
        for segment in ("a", "new", "nobody")
    }
    rejected = {"version": 3, "reason": "a is no good", "at": TIME}
    assert (told["everybody a"]["version"], told["everybody a"]["rejected"]) == (1, rejected)
    assert (told["reader a"]["version"], told["reader a"]["rejected"]) == (1, rejected | {"reason": None})
    assert (told["everybody new"]["version"], told["everybody new"]["rejected"]["reason"]) == (None, "new is no good")
    assert told["everybody nobody"] is told["reader nobody"] is None


def test_no_token_names_a_segment_that_its_caller_may_not_read(tmp_path: Path) -> None:
    """Though others' lie between two of his pages."""
    listing = _listing(tmp_path / "catalog", {"a_x", *(f"b{number}_y" for number in range(600)), "c_x"}, set(), set())
    page = asyncio.run(listing.page(1, None, Caller("x", ("*_x",)), rejected=False))
    assert page == asyncio.run(listing.page(1, None, Caller("x", ("a_x", "c_x")), rejected=False))
    assert page.next_page_token is not None


@pytest.mark.parametrize("token", ["junk", "", "YQ==", "YWZ0ZXI6/w==", "YWZ0ZXI6gA==", "ü"])
def test_a_token_of_nobody_s_is_refused(tmp_path: Path, token: str) -> None:
    """As the caller's own mistake."""
    listing = _listing(tmp_path / "catalog", {"a"}, set(), set())
    with pytest.raises(Refused) as refused:
        asyncio.run(listing.page(1, token, EVERYBODY, rejected=False))
    assert refused.value.refusal.code == "invalid_request"
