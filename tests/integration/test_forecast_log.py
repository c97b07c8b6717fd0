"""The forecast log on real databases: made by many at once, written once per forecast, away and back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa

from registry.errors import BadRecord, ForecastLogError, ForecastLogUnavailable
from registry.forecast_log import ForecastLog, ForecastRecord, Serving
from serving.access import Caller
from serving.forecast_log import LogWriter
from serving.metrics import Metrics
from serving.outcomes import INTERNAL_ERROR, Answer
from serving.schemas import ForecastRequest, ModelInfo
from tests.waiting import until

AT = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
CALLER = Caller("key 7", ("*",))
SAMPLES = ("forecast_log_written_total", "forecast_log_dropped_total", "forecast_log_waiting")


@pytest.fixture(params=["sqlite", "postgresql"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/log.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def open_log(log_url: str) -> Iterator[Callable[[], ForecastLog]]:
    """Opens the log on that database once more; all are closed at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(ForecastLog(log_url)))


def record(number: int = 1, segment: str = "a", **changed: object) -> ForecastRecord:
    values = {
        "id": UUID(int=number),
        "segment": segment,
        "model_name": f"forecast.{segment}",
        "version": 3,
        "run_id": "run",
        "solver": "exact",
        "trained_through": datetime(2026, 1, 1),
        "interval_width": 0.8,
        "last_ds": datetime(2026, 1, 3),
        "ds": ["2026-01-02", "2026-01-03"],
        "yhat": [0.1 + 0.2, -5e-324],
        "yhat_lower": [-1e300, 0.0],
        "yhat_upper": [1.7976931348623157e308, 1.0],
        "first_served_at": AT,
    }
    return ForecastRecord(**{**values, **changed})


def serving(number: int = 1, at: datetime = AT) -> Serving:
    return Serving(at, "request", "key 7", UUID(int=number))


def counts(url: str) -> tuple[int, int]:
    """How many servings and forecasts there are."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        tables = ("forecast_log", "forecast_log_forecasts")
        found = [connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables]
    return found[0], found[1]


def test_what_is_written_is_read_as_it_was(open_log: Callable[[], ForecastLog]) -> None:
    """Every number to the bit, dates of every form, and when it was served."""
    log = open_log()
    hourly = record(2, "b/ä", ds=["2026-01-02T01:00:00", "2026-01-02T02:00:00"], version=None, run_id=None)
    later = [AT + timedelta(minutes=minutes) for minutes in (5, 20, 95)]
    log.write([serving(), *(serving(1, at) for at in later), serving(2)], [record(), hourly])
    found = log.forecasts(["a", "b/ä", "c"], datetime(2026, 1, 1, tzinfo=UTC))
    assert found.keys() == {"a", "b/ä"}
    (one,), (other,) = found["a"], found["b/ä"]
    assert (one.id, one.version, one.run_id, one.interval_width) == (UUID(int=1), 3, "run", 0.8)
    assert one.ds.tolist() == np.array(["2026-01-02", "2026-01-03"], dtype="M8[ns]").tolist()
    assert [one.yhat.tolist(), one.lower.tolist(), one.upper.tolist()] == [
        [0.1 + 0.2, -5e-324],
        [-1e300, 0.0],
        [1.7976931348623157e308, 1.0],
    ]
    assert [[str(time)[11:16] for time in pair] for pair in one.served] == [["09:30", "09:50"], ["11:05", "11:05"]]
    assert str(one.trained_through) == "2026-01-01T00:00:00.000000000"
    assert (other.version, str(other.ds[1])) == (None, "2026-01-02T02:00:00.000000000")
    assert log.segments(datetime(2026, 1, 3, tzinfo=UTC)) == {"a", "b/ä"}
    assert log.segments(datetime(2026, 1, 4, tzinfo=UTC)) == set()
    assert log.forecasts(["a"], datetime(2026, 1, 4, tzinfo=UTC)) == {}


def test_a_forecast_is_kept_once_and_every_serving_of_it(log_url: str, open_log: Callable[[], ForecastLog]) -> None:
    for _ in range(3):
        open_log().write([serving(), serving()], [record()])
    assert counts(log_url) == (6, 1)


def test_many_writers_make_the_tables_at_once(log_url: str, open_log: Callable[[], ForecastLog]) -> None:
    """Workers start together, on an empty database."""
    start = threading.Barrier(8)

    def write(number: int) -> None:
        log = open_log()
        start.wait()
        for _ in range(5):
            log.write([serving(number)], [record(number), record(99)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert counts(log_url) == (40, 9)
    open_log().check()


def test_tables_of_another_release_are_left_alone(log_url: str, open_log: Callable[[], ForecastLog]) -> None:
    open_log().prepare()
    with sa.create_engine(log_url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("UPDATE forecast_log_schema SET version = 7"))
    for use in (lambda log: log.write([serving()], [record()]), ForecastLog.prepare, ForecastLog.check):
        with pytest.raises(ForecastLogError, match="version 7; ours is 1"):
            use(open_log())
    assert counts(log_url) == (0, 0)


def test_a_database_without_a_log_has_none(open_log: Callable[[], ForecastLog]) -> None:
    """And none is made by looking."""
    for _ in range(2):
        with pytest.raises(ForecastLogError, match="there is no forecast log at"):
            open_log().check()


def test_a_row_that_no_database_takes_is_told_from_one_that_is_away(
    log_url: str, open_log: Callable[[], ForecastLog]
) -> None:
    log = open_log()
    with pytest.raises(BadRecord, match="takes no such row"):
        log.write([serving()], [record(segment=None, model_name="m")])
    log.write([serving()], [record()])
    assert counts(log_url) == (1, 1)


@pytest.mark.parametrize("url", ["mysql://a:secret@b/c", "what is this: secret", "prometheus"])
def test_another_database_is_refused_at_once(url: str) -> None:
    with pytest.raises(ForecastLogError) as refused:
        ForecastLog(url)
    assert "secret" not in str(refused.value)


def test_a_password_is_in_no_message() -> None:
    log = ForecastLog("postgresql://someone:secret@127.0.0.1:9/nowhere")
    with pytest.raises(ForecastLogUnavailable) as away:
        log.write([serving()], [record()])
    assert "secret" not in str(away.value)
    assert "someone@127.0.0.1:9/nowhere" in str(away.value)


def answer(segment: str = "a", periods: int = 2, **changed: object) -> Answer:
    info = ModelInfo(name=f"forecast.{segment}", version=3, run_id="run", trained_through="2026-01-01", solver="exact")
    ds = [f"2026-01-{day:02}" for day in range(2, 2 + periods)]
    values = [float(day) for day in range(periods)]
    columns = {"ds": ds, "yhat": values, "yhat_lower": values, "yhat_upper": values}
    told = {"model_id": segment, "generated_at": "2026-01-01T09:30:00.250Z", "model": info.model_dump_json().encode()}
    return Answer(**{**told, **columns, "interval_width": 0.8, **changed})


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(multiprocess=False)


def told(metrics: Metrics) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in metrics.exposition().body.decode().splitlines() if line[0] != "#"]
    return {name: float(value) for name, value in lines if name in SAMPLES}


@pytest.fixture
def writer(log_url: str, metrics: Metrics) -> Iterator[LogWriter]:
    """A writer with room for 20 rows; closed at the end, whatever the database then does."""
    writer = LogWriter(ForecastLog(log_url), metrics, most_rows=20)
    yield writer
    writer.close(10)


def test_what_is_served_comes_into_the_log_and_refusals_do_not(
    writer: LogWriter, log_url: str, metrics: Metrics, open_log: Callable[[], ForecastLog]
) -> None:
    """Rows of the history that were asked for with it stay out, and what no database takes is replaced."""
    writer.start()
    asked = [ForecastRequest(model_id=key, periods=2) for key in ("a", "b", "c\0", "d")]
    with_history, inline = answer("d", periods=5), answer("c\0", model=answer("c").model)
    writer.record(asked, [answer("a"), INTERNAL_ERROR, inline, with_history], CALLER)
    writer.record(asked[:1], [answer("a")], CALLER)
    until(lambda: told(metrics)["forecast_log_written_total"] == 4)
    assert counts(log_url) == (4, 3)
    found = open_log().forecasts(["a", "c\ufffd", "d"], AT)
    assert {segment: [str(day)[:10] for day in one.ds] for segment, (one,) in found.items()} == {
        "a": ["2026-01-02", "2026-01-03"],
        "c\ufffd": ["2026-01-02", "2026-01-03"],
        "d": ["2026-01-05", "2026-01-06"],
    }
    with sa.create_engine(log_url, poolclass=sa.NullPool).connect() as connection:
        assert set(connection.execute(sa.text("SELECT caller, request_id FROM forecast_log"))) == {("key 7", None)}


def test_any_difference_makes_another_forecast(writer: LogWriter, log_url: str) -> None:
    """Of segment, model, dates, width or any number; when it was made is none."""
    changes: list[dict[str, object]] = [
        {},
        {"generated_at": "2026-01-01T10:30:00.250Z"},
        {"model_id": "b"},
        {"model": answer("b").model},
        {"ds": ["2026-01-02", "2026-01-04"]},
        {"yhat": [0.0, 1.0 + 2**-52]},
        {"yhat_lower": [0.0, -0.0]},
        {"yhat_upper": [0.5, 1.0]},
        {"interval_width": 0.9},
    ]
    for changed in changes:
        writer.record([ForecastRequest(periods=2)], [answer(**changed)], CALLER)
    writer.start()
    writer.close(30)
    assert counts(log_url) == (9, 8)


def test_the_end_of_a_worker_waits_for_the_log(writer: LogWriter, log_url: str, metrics: Metrics) -> None:
    for _ in range(10):
        writer.record([ForecastRequest(periods=2)], [answer()], CALLER)
    writer.start()
    writer.close(30)
    assert counts(log_url) == (10, 1)
    assert told(metrics)["forecast_log_dropped_total"] == 0


def test_a_database_that_is_away_costs_the_oldest_and_nothing_once_it_is_back(
    postgres_admin: str, postgres_url: str, metrics: Metrics
) -> None:
    """PostgreSQL lets nobody in for a while, and throws out who is."""
    writer = LogWriter(ForecastLog(postgres_url), metrics, most_rows=20)
    name = sa.make_url(postgres_url).database
    writer.start()

    def serve(segment: str) -> None:
        writer.record([ForecastRequest(model_id=segment, periods=2)], [answer(segment)], CALLER)

    try:
        serve("before")
        until(lambda: told(metrics)["forecast_log_written_total"] == 1)
        with psycopg.connect(postgres_admin, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            serve("in hand")
            until(lambda: bool([*writer.problems()]))
            assert "wait in memory" in " ".join(writer.problems())
            for number in range(15):
                serve(f"waits {number}")
            assert told(metrics)["forecast_log_dropped_total"] == 5  # 15 of 2 rows, where there is room for 20
            assert "the oldest are dropped" in " ".join(writer.problems())
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        until(lambda: told(metrics)["forecast_log_written_total"] == 12)
        assert [*writer.problems()] == []
        assert told(metrics) == dict(zip(SAMPLES, (12, 5, 0), strict=True))
        with contextlib.closing(ForecastLog(postgres_url)) as log:
            assert log.segments(AT) == {"before", "in hand", *(f"waits {number}" for number in range(5, 15))}
    finally:
        writer.close(10)
