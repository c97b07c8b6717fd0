"""From a table of histories to forecasts over HTTP: keys come through, faults stay where they are."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.e2e.conftest import Service, prophetctl

DAYS = [f"{day:%Y-%m-%d}" for day in pd.date_range("2024-01-01", periods=30)]
SOUND = [f"user_{number}_food" for number in range(32)]
BROKEN = {
    "no date": ("missing_date", lambda rows: rows.assign(ds=[None, *rows["ds"][1:]])),
    "bad date": ("unparsable_date", lambda rows: rows.assign(ds=[*rows["ds"][:-1], "2024-02-31"])),
    "bad number": ("unparsable_number", lambda rows: rows.assign(y=["twelve", *rows["y"][1:]])),
    "infinity": ("infinite_number", lambda rows: rows.assign(y=[*rows["y"][:-1], "inf"])),
    "twice": ("duplicate_dates", lambda rows: pd.concat([rows, rows.tail(1)])),
    "one point": ("too_few_points", lambda rows: rows.head(1)),
    "all missing": ("too_few_points", lambda rows: rows.assign(y="")),
    "k" * 260: ("registration_failed", lambda rows: rows),
}


def _rows(segment: str) -> pd.DataFrame:
    y = [f"{value:.3f}" for value in np.random.default_rng(len(segment)).normal(10, 1, len(DAYS))]
    return pd.DataFrame({"segment": segment, "ds": DAYS, "y": y})


def _fault(report: dict, segment: str) -> dict:
    [entry] = [entry for entry in report["segments"] if entry["segment"] == segment]
    assert entry["status"] == "failed"
    return entry["faults"][0]


def test_eight_broken_segments_of_forty_cost_nobody_else_anything(
    service: Service, sqlite_store: str, tmp_path: Path
) -> None:
    """32 are served, 8 are reported with column, rows and value; mended, only what is asked is redone."""
    path, report_path = tmp_path / "history.csv", tmp_path / "report.json"
    broken = {segment: spoil(_rows(segment)) for segment, (_, spoil) in BROKEN.items()}
    pd.concat([*map(_rows, SOUND), *broken.values()]).to_csv(path, index=False)
    train = ["train", "--path", str(path), "--cutoffs", "1", "--horizon", "7", "--report", str(report_path)]

    done = prophetctl(sqlite_store, *train)
    assert done.returncode == 1, done.stderr
    report = json.loads(report_path.read_text())
    assert report["totals"] == {"segments": 40, "trained": 32, "held": 0, "failed": 8}
    assert {segment: _fault(report, segment)["code"] for segment in BROKEN} == {
        segment: code for segment, (code, _) in BROKEN.items()
    }
    number = _fault(report, "bad number")
    assert (number["column"], number["values"]) == ("y", ["twelve"])
    assert f"row {number['rows'][0]}" in number["message"]
    assert "bad number" in done.stdout
    assert "twelve" in done.stdout
    for segment in SOUND:
        assert service.forecast(model_id=segment, periods=1).status_code == 200
    assert service.forecast(model_id="bad number").status_code == 404

    pd.concat([*map(_rows, SOUND), _rows("bad number")]).to_csv(path, index=False)
    done = prophetctl(sqlite_store, *train, "--segment", "bad*")
    assert done.returncode == 0, done.stderr
    assert [entry["segment"] for entry in json.loads(report_path.read_text())["segments"]] == ["bad number"]
    answer = service.until(lambda response: response.status_code == 200, model_id="bad number", periods=1)
    assert answer.json()["model"]["version"] == 1
    assert service.forecast(model_id=SOUND[0], periods=1).json()["model"]["version"] == 1


KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60).filter(
    str.strip
)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(["shop/7:milk 100%", "Käse & Brot", "🧀/🍞", "u" * 200, "a%2Fb", "a/b", "..", 'it\'s "quoted"'])
@given(st.lists(KEYS, min_size=4, max_size=6, unique=True))
def test_any_key_goes_through_training_mlflow_and_http(
    service: Service, sqlite_store: str, tmp_path: Path, keys: list[str]
) -> None:
    """What the table called a segment is what HTTP calls it."""
    path = tmp_path / "history.parquet"
    pd.concat(map(_rows, keys)).to_parquet(path)
    done = prophetctl(sqlite_store, "train", "--path", str(path), "--cutoffs", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    for key in keys:
        # The key may be one that was asked for a moment ago, and is still remembered as unknown.
        answer = service.until(lambda response: response.status_code == 200, model_id=key, periods=1)
        assert answer.json()["model_id"] == key
        if key not in {".", ".."}:  # a dot segment of a URL is taken away by HTTP clients, escaped or not
            assert service.http.get(f"/models/{quote(key, safe='')}").json()["model_id"] == key
    batch = {"requests": [{"model_id": key, "periods": 1} for key in keys]}
    results = service.http.post("/forecast/batch", json=batch).json()["results"]
    assert [result["model_id"] for result in results] == keys
