"""The accuracy benchmark: the halves of its series, the figures made of scores, and what is kept of the peers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import accuracy, accuracy_peers
from benchmarks.accuracy_scores import Ahead, naive, score
from benchmarks.accuracy_series import COMPETITIONS, REPORTED, TUNED, Series, competitions
from benchmarks.accuracy_summary import change, means, paired


def series(group: str = "set", name: str = "one", *, years: int = 4, horizon: int = 4) -> Series:
    """Quarters that grow by 4 a year."""
    dates = pd.date_range("2000-01-01", periods=4 * years, freq="QS").as_unit("ns").asi8
    return Series(group, name, "QS", dates, np.arange(4.0 * years), 4 * years - horizon)


def frame(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    """Scores that differ in MASE only."""
    scores = pd.DataFrame(rows, columns=["group", "name", "way", "mase"])
    return scores.assign(smape=1.0, coverage=0.8, interval=scores["mase"], cpu=1.0, cadence="monthly")


def test_the_halves_have_no_series_in_common_and_miss_none() -> None:
    halves = [{one.name for one in competitions(None, half=half)} for half in (TUNED, REPORTED)]
    assert not halves[0] & halves[1]
    assert sum(map(len, halves)) == 1428 + 756 + 366 + 427  # M3 and tourism, monthly and quarterly
    assert min(map(len, halves)) > 1400


def test_the_horizons_are_the_competitions_own() -> None:
    horizons = {one.group: one.horizon for one in competitions(3)}
    assert horizons == dict(zip(COMPETITIONS, (18, 8, 24, 8), strict=True))


def test_seasonal_naive_scores_its_own_scale() -> None:
    """On a line it is as far off ahead as it was inside the history: MASE 1."""
    found = score(series(), naive(series()))
    assert found.mase == pytest.approx(1.0)
    assert np.isnan(found.coverage)


def test_a_perfect_forecast_still_has_an_interval_score() -> None:
    one = series()
    actual = one.y[one.rows :]
    found = score(one, Ahead(actual, actual - 2.0, actual + 2.0, cpu=0.5))
    assert (found.mase, found.coverage, found.cpu) == (0.0, 1.0, 500.0)
    assert found.interval == pytest.approx(4.0 / 4.0)  # the width in units of the seasonal change, 4


def test_sets_weigh_the_same_however_many_series_they_have() -> None:
    rows = [("big", f"b{n}", way, value) for n in range(9) for way, value in (("us", 1.0), ("them", 2.0))]
    both = paired(frame(*rows, ("small", "s", "us", 3.0), ("small", "s", "them", 2.0)), "mase", "us", "them")
    assert means(both) == (2.0, 2.0)
    found = change(both)
    assert found.mean == pytest.approx((-50.0 + 50.0) / 2)
    assert found.low == found.high == pytest.approx(found.mean)  # no series of a set differs from its others


def test_series_that_one_way_cannot_forecast_count_for_neither() -> None:
    scores = frame(("a", "1", "us", 1.0), ("a", "1", "them", 2.0), ("a", "2", "us", np.inf), ("a", "2", "them", 1.0))
    assert means(paired(scores, "mase", "us", "them")) == (1.0, 2.0)


def test_the_interval_of_a_change_covers_its_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        ours, theirs = random.lognormal(np.log(0.9), 0.3, 40), random.lognormal(0.0, 0.3, 40)
        rows = [("a", str(n), way, each[n]) for n in range(40) for way, each in (("us", ours), ("them", theirs))]
        found = change(paired(frame(*rows), "mase", "us", "them"))
        hits += found.low <= -10.0 <= found.high
    assert 52 <= hits <= 60


def test_origins_of_a_series_are_drawn_together() -> None:
    """Four origins that agree are one series' evidence, not four."""
    values = {"x": 1.0, "y": 3.0}
    apart = [("a", f"{name}", way, v if way == "us" else 2.0) for name, v in values.items() for way in ("us", "them")]
    rows = [(g, f"{name}@{n}", way, v) for g, name, way, v in apart for n in range(4)]
    found = [change(paired(frame(*each), "mase", "us", "them")) for each in (apart, rows)]
    assert found[0] == pytest.approx(found[1])


@pytest.mark.parametrize(
    ("ours", "missed"),
    [
        (0.99, set()),
        (1.01, {"MASE over theirs, mean of four sets"}),
        (1.03, {"MASE over theirs, mean of four sets", "MASE over theirs, upper end of 95 %"}),
    ],
)
def test_no_worse_than_a_peer_is_a_mean_and_an_upper_end(ours: float, missed: set[str]) -> None:
    rows = [
        (group, "1", way, value) for group in COMPETITIONS for way, value in ((accuracy.OURS, ours), ("AutoETS", 1))
    ]
    found = [row for row in accuracy.decisive_rows(frame(*rows)) if row.peer == "AutoETS" and "MASE over" in row.name]
    assert len(found) == 2
    assert {row.name for row in found if not row.meets} == missed


def test_forecasts_of_peers_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for statsforecast, which needs an environment of its own; all else is real."""
    calls, script = tmp_path / "calls", tmp_path / "peer.py"
    one = {"yhat": [1.0] * 4, "lower": [0.0] * 4, "upper": [2.0] * 4, "cpu": 0.25}
    script.write_text(
        "import sys\n"
        f"open({str(calls)!r}, 'a').write('x')\n"
        f"open(sys.argv[2], 'w').write({json.dumps({'AutoETS': [one, None]})!r})\n"
    )
    monkeypatch.setattr(accuracy_peers, "_SCRIPT", script)
    every = [series(name="a"), series(name="b")]
    for _ in range(2):
        ahead, failed = accuracy_peers.peer_forecasts(every, sys.executable, tmp_path / "kept")["AutoETS"]
        assert ahead is not None
        assert (ahead.yhat.tolist(), ahead.cpu, failed) == ([1.0] * 4, 0.25, None)
    assert calls.read_text() == "x"
    accuracy_peers.peer_forecasts(every[::-1] + every, sys.executable, tmp_path / "kept")
    assert calls.read_text() == "xx"
