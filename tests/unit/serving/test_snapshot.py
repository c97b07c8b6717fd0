"""The catalog's file: whatever was changed from one to the next, it holds what a dict would."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecasting.errors import ModelError
from forecasting.features import FeatureTable, SeasonalTerm
from forecasting.state import Calibration, ForecastModel
from forecasting.table import ModelTable
from registry.versions import Mark
from serving.schemas import ModelInfo, ServedModel
from serving.snapshot import Contents, Other, Rejection, Snapshot, open_snapshot
from serving.snapshot_writer import Part, Row, write_snapshot

RELAXED = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
SEGMENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
EMPTY = Contents("2026-01-01T00:00:00Z", "sqlite:///mlflow.db")


def model_of(seed: int) -> ForecastModel:
    """One of several shapes: with a week or without, calibrated or not, of one draw or of three."""
    random, draws, s = np.random.default_rng(seed), 1 + 2 * (seed % 5 == 0), 1 + seed % 4
    features = FeatureTable((SeasonalTerm("weekly", 7.0, 1 + seed % 3),) if seed % 2 else ())
    return ForecastModel(
        growth="linear",
        start=seed,
        t_scale=1e15,
        y_min=0.0,
        y_scale=1.0,
        changepoints_t=np.sort(random.random(s)),
        k=random.normal(size=draws),
        m=random.normal(size=draws),
        delta=random.normal(size=(draws, s)),
        beta=random.normal(size=(draws, features.n_columns)),
        sigma_obs=np.ones(draws),
        features=features,
        calibration=Calibration.overall(2.0) if seed % 3 == 0 else None,
        freq=(None, "D", "h")[seed % 3],
        solver=f"solver {seed % 4}",
    )


def row_of(segment: str, seed: int) -> Row:
    name = f"forecast.{segment}"
    info = ModelInfo(name=name, version=seed, run_id=None, trained_through="2024-01-01T00:00:00", solver="exact")
    served = ServedModel(
        model_id=segment,
        name=name,
        version=seed,
        run_id=None,
        created_at="2024-01-01",
        trained_through=None,
        freq="D",
        solver="exact",
        metrics={"mase": seed / 7},
    )
    return Row(Mark(segment, seed, 10**12 + seed), info, served)


def _part(seeds: dict[str, int]) -> Part:
    return Part([row_of(*one) for one in seeds.items()], ModelTable.pack([model_of(seed) for seed in seeds.values()]))


def _holds(snapshot: Snapshot, expected: dict[str, int]) -> None:
    order = sorted(expected, key=str.encode)
    assert [snapshot.segment(row) for row in range(len(snapshot))] == order
    assert snapshot.marks() == {row_of(*one).mark for one in expected.items()}
    for row, segment in enumerate(order):
        wanted, model = row_of(segment, expected[segment]), model_of(expected[segment])
        assert snapshot.find(segment) == row
        assert (snapshot.mark(row), snapshot.info(row), snapshot.served(row)) == (
            wanted.mark,
            wanted.info,
            wanted.served,
        )
        assert snapshot.info_json(row).decode() == wanted.info.model_dump_json()
        for name, value in vars(snapshot.table.model(row)).items():
            same = getattr(model, name)
            if name == "calibration" and same is not None:
                assert value.factors.tobytes() == same.factors.tobytes()
            else:
                assert value.tobytes() == same.tobytes() if isinstance(same, np.ndarray) else value == same, name


@RELAXED
@given(
    st.lists(st.dictionaries(SEGMENTS, st.integers(1, 40) | st.none(), max_size=8), min_size=1, max_size=4),
    st.integers(1, 3),
)
def test_a_snapshot_holds_what_all_changes_leave(
    tmp_path: Path, changes: list[dict[str, int | None]], parts: int
) -> None:
    """Each written from the one before: new segments, new versions, and those that went."""
    path, expected, previous = tmp_path / "catalog", dict[str, int](), None
    for change in changes:
        fresh = {segment: seed for segment, seed in change.items() if seed is not None}
        dropped = [segment for segment, seed in change.items() if seed is None]
        expected = {segment: seed for segment, seed in (expected | fresh).items() if segment not in dropped}
        cut = [dict(list(fresh.items())[number::parts]) for number in range(parts)]
        write_snapshot(path, EMPTY, [_part(one) for one in cut], previous=previous, dropped=dropped)
        previous = open_snapshot(path, verify=True)
        _holds(previous, expected)
        assert previous.find("no such segment") is None


@RELAXED
@given(st.sets(SEGMENTS, max_size=8), SEGMENTS)
def test_a_page_goes_on_after_any_segment(tmp_path: Path, segments: set[str], last: str) -> None:
    """Also after one that is not there any more."""
    write_snapshot(tmp_path / "catalog", EMPTY, [_part(dict.fromkeys(segments, 1))])
    snapshot = open_snapshot(tmp_path / "catalog")
    following = [snapshot.segment(row) for row in range(snapshot.after(last), len(snapshot))]
    assert following == sorted((one for one in segments if one.encode() > last.encode()), key=str.encode)
    assert snapshot.after(None) == 0


def test_what_has_no_row_is_kept_by_name(tmp_path: Path) -> None:
    """Champions that only Prophet predicts, and rejected ones, whose mark hides that of the row served for them."""
    others = {"odd": Other(3, 5, row_of("odd", 3).served)}
    rejected = {"a": Rejection(2, 7, "the parameter k is not finite", "2026-01-01T00:00:00Z")}
    contents = Contents("2026-01-02T03:04:05Z", "postgresql://host/db", others, rejected)
    write_snapshot(tmp_path / "catalog", contents, [_part({"a": 1, "b": 1})])
    snapshot = open_snapshot(tmp_path / "catalog")
    assert snapshot.contents == contents
    assert snapshot.marks() == {row_of("b", 1).mark, Mark("odd", 3, 5), Mark("a", 2, 7)}


def test_an_old_mapping_outlives_the_next_snapshot(tmp_path: Path) -> None:
    """Whoever is in the middle of a batch goes on reading what it began with."""
    path = tmp_path / "catalog"
    write_snapshot(path, EMPTY, [_part({"a": 1, "b": 2})])
    old = open_snapshot(path)
    write_snapshot(path, EMPTY, [_part({"a": 3})], previous=old, dropped=["b"])
    _holds(old, {"a": 1, "b": 2})
    _holds(open_snapshot(path), {"a": 3})


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda data: data[:-9], "damaged"),
        (lambda data: data[:40], "damaged"),
        (lambda _: b"", "does not begin"),
        (lambda data: b"forecast catalog 0" + data[18:], "does not begin"),
        (lambda data: data[: len(data) // 2] + b"?" + data[len(data) // 2 + 1 :], "damaged"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes], named: str) -> None:
    """By name, and one byte is damage enough where the checksum is asked for."""
    path = tmp_path / "catalog"
    write_snapshot(path, EMPTY, [_part({"a": 1, "b": 2})])
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ModelError, match=named) as caught:
        open_snapshot(path, verify=True)
    assert str(path) in str(caught.value)


def test_what_cannot_be_written_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    """As on a full disk: here no file may grow beyond a page."""
    path = tmp_path / "catalog"
    write_snapshot(path, EMPTY, [_part({"a": 1})])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_snapshot(path, EMPTY, [_part({f"segment {number}": 1 for number in range(50)})])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    _holds(open_snapshot(path, verify=True), {"a": 1})
    assert list(tmp_path.iterdir()) == [path]
