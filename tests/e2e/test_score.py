"""The whole circle: served forecasts are logged, scored against what came, and what drifted is trained again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from registry.registry import Registry
from tests.e2e.conftest import prophetctl, serve
from tests.points import points

DAYS, AHEAD = 120, 14
POINTS = points(30)


def series(segment: str, shift: float) -> pd.DataFrame:
    """History through yesterday and what comes in the days after: there, y leaves its level by shift."""
    today = datetime.now(UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    ds = pd.date_range(today - timedelta(days=DAYS), periods=DAYS + AHEAD)
    noise = np.random.default_rng(len(segment)).normal(0, 1, len(ds))
    y = 50 + 5 * np.sin(2 * np.pi * np.arange(len(ds)) / 7) + noise + shift * (np.arange(len(ds)) >= DAYS)
    return pd.DataFrame({"segment": segment, "ds": ds, "y": y})


@pytest.mark.timeout(600)
def test_what_drifts_is_listed_and_trained_again(store: str, postgres_url: str, tmp_path: Path) -> None:
    """With a log in PostgreSQL, whose last rows a stopping worker writes."""
    table = pd.concat([series("steady one", 0), series("drifts/ä", 40), series("not asked for", 40)])
    history, actuals, listed, report = (tmp_path / name for name in ("h.csv", "a.csv", "again.txt", "score.json"))
    table.groupby("segment").head(DAYS).to_csv(history, index=False)
    table.to_csv(actuals, index=False)
    done = prophetctl(store, "train", "--path", str(history), "--cutoffs", "2")
    assert done.returncode == 0, done.stdout + done.stderr

    score = ["score", "--log", postgres_url, "--path", str(actuals)]
    score += ["--report", str(report), "--retrain-list", str(listed)]
    with serve(store, tmp_path, FORECAST_LOG_URL=postgres_url, FORECAST_TIMEOUT_SECONDS="60") as service:
        for _ in range(3):
            assert service.forecast(model_id="steady one", periods=AHEAD).status_code == 200
        asked = [{"model_id": key, "periods": AHEAD} for key in ("drifts/ä", "unknown", "inline")]
        asked[2]["data"] = POINTS
        answer = service.http.post("/forecast/batch", json={"requests": asked}, headers={"x-request-id": "the-batch"})
        assert answer.status_code == 200
        assert service.http.get("/health").json()["status"] == "healthy"
        metrics = service.http.get("/metrics").text
        assert "forecast_log_dropped_total 0.0" in metrics

    with sa.create_engine(postgres_url, poolclass=sa.NullPool).connect() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT segment, version, count(*), min(caller), max(request_id) FROM forecast_log"
                " JOIN forecast_log_forecasts f ON f.id = forecast_id GROUP BY 1, 2 ORDER BY 1"
            )
        ).all()
        logged = connection.execute(
            sa.text("SELECT yhat FROM forecast_log_forecasts WHERE segment = 'drifts/ä'")
        ).scalar_one()
    assert [row[:3] for row in rows] == [("drifts/ä", 1, 1), ("inline", None, 1), ("steady one", 1, 3)]
    assert [row[3:] for row in rows[:2]] == [("everybody", "the-batch")] * 2
    assert logged == [row["yhat"] for row in answer.json()["results"][0]["forecast"]]

    done = prophetctl(store, *score)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "drifted drifts/ä: The live MASE is" in done.stdout
    told = json.loads(report.read_text())
    assert told["totals"] == {
        "segments": 2,
        "drifted": 1,
        "steady": 1,
        "unjudged": 0,
        "failed": 0,
        "points": 2 * AHEAD,
        "silent": 0,  # the inline one is forecast for dates long past
    }
    drifted, steady = told["segments"]
    assert (drifted["segment"], drifted["status"], steady["status"]) == ("drifts/ä", "drifted", "steady")
    assert (drifted["points"], drifted["champion"], drifted["champion_points"]) == (AHEAD, 1, AHEAD)
    assert drifted["naive_error_of"] == "the history of version 1"
    assert -45 < drifted["bias"] < -35 < -5 < steady["bias"] < 5
    registry = Registry(store)
    assert drifted["backtest_mase"] == registry.version("drifts/ä", 1).metrics["mase"]
    assert listed.read_text() == "drifts/ä\n"
    run = registry.client.get_run(told["run_id"])
    assert (run.info.status, run.data.metrics["live.drifted"], run.data.metrics["live.points"]) == ("FINISHED", 1, 28)
    assert "password" not in str(run.data.params)
    files = {file.path for file in registry.client.list_artifacts(told["run_id"])}
    assert files == {"report.json", "scores.parquet", "scores_table.json", "retrain.txt", "plots"}
    assert [used.tags[0].value for used in run.inputs.dataset_inputs] == ["evaluation"]

    done = prophetctl(store, "retrain", "--path", str(actuals), "--segments-from", str(listed), "--cutoffs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {segment: len(registry.versions(segment)) for segment in table["segment"].unique()} == {
        "steady one": 1,
        "drifts/ä": 2,
        "not asked for": 1,
    }
    done = prophetctl(store, *score[:5])
    assert "0 drifted" in done.stdout, done.stdout + done.stderr
