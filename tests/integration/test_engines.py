"""Ray and Spark, really run on this machine, train what local processes train, to the bit, whatever dies meanwhile."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

import forecasting
import training
from forecasting.errors import Fault
from registry.registry import Registry
from tests.lacking import lacking
from tests.unit.training.workers import chunk_of, echo_or_die, fail, tell_code, train_after_an_accident
from training.config import JobConfig, SourceConfig, load_config
from training.engines.work import Work
from training.errors import ConfigError, SourceError, TrainingError
from training.job import run_job
from training.segment import Failed, Outcome, Trained, train_chunk, train_segment
from training.spool import Chunk, open_history

pytestmark = [
    pytest.mark.engines,
    pytest.mark.filterwarnings("ignore:::ray", "ignore:::pyspark", "ignore::ResourceWarning"),
]
ENGINES, CLUSTERS = ("local", "ray", "spark"), ("ray", "spark")
SEGMENTS, ROWS = 300, 120
WORKERS = 2
# In the command line of a process that trains: of our own pool, of Ray, of Spark.
WORKER_SIGNS = ("spawn_main", "ray::", "pyspark.daemon")


@pytest.fixture(scope="module", autouse=True)
def _everything_is_installed() -> None:
    missing = [name for name in ("ray", "pyspark") if importlib.util.find_spec(name) is None]
    missing += [] if shutil.which("java") else ["java"]
    if missing:
        message = f"{', '.join(missing)} not found: nothing is known of Ray and Spark; make test-engines, and a Java"
        lacking(message)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Daily series of their own each, interleaved; two that cannot be trained among them, and one with gaps."""
    drawn = np.random.default_rng(11)
    day, number = np.arange(ROWS), np.arange(SEGMENTS)[:, None]
    season = (1 + number % 7) * np.sin(2 * np.pi * (day + number) / 7)
    y = 20 + 0.01 * number * day + season + drawn.normal(0, 1, (SEGMENTS, ROWS))
    y[3, 10:20] = np.nan
    y[5], y[6, 1:] = np.inf, np.nan
    names = [f"shop {each}/é" for each in range(SEGMENTS)]
    return pd.DataFrame(
        {
            "segment": np.tile(names, ROWS),
            "ds": np.repeat(pd.date_range("2024-01-01", periods=ROWS), SEGMENTS),
            "y": y.T.ravel(),
        }
    )


@pytest.fixture(scope="module")
def source(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "history.parquet"
    table.astype({"ds": "datetime64[us]"}).to_parquet(path, index=False)
    return path


@pytest.fixture(scope="module")
def trained_here(source: Path) -> dict[str, str]:
    """What local processes make of the source."""
    outcomes = trained_by("local", config_of(source))
    kinds = [type(outcome) for outcome in outcomes]
    assert (kinds.count(Trained), kinds.count(Failed)) == (SEGMENTS - 2, 2)
    return texts(outcomes)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A connection to Ray that was there before the engine."""
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=WORKERS, include_dashboard=False, runtime_env={"py_modules": [forecasting, training]})
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session of Spark's that was there before the engine."""
    sql = pytest.importorskip("pyspark.sql")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = sql.SparkSession.builder.master(f"local[{WORKERS}]").config("spark.ui.enabled", False).getOrCreate()
    yield session
    session.stop()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine's name, connected."""
    if request.param in CLUSTERS:
        request.getfixturevalue(request.param)
    return request.param


def config_of(source: Path, engine: str = "local", **overrides: object) -> JobConfig:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    values = {"engine.name": engine, "workers": WORKERS, "chunk": 25, "backtest.cutoffs": 1}
    return load_config(None, {"source.path": source, **values, **dotted})


def trained_by(engine: str, config: JobConfig, **work: Any) -> list[Outcome]:
    with open_history(config.source, patterns=config.segments) as history:
        return flat(train_all(engine, history.chunks(config.chunk), config, **work))


def train_all(
    engine: str, chunks: Iterable[Chunk], config: JobConfig, work: Work = train_chunk
) -> Iterator[list[Outcome]]:
    """Connect, and train as a job does."""
    with import_module(f"training.engines.{engine}").connect(config, work) as connected:
        assert connected.workers == WORKERS
        yield from connected.train_all(chunks)


def flat(chunks: Iterable[list[Outcome]]) -> list[Outcome]:
    return [outcome for outcomes in chunks for outcome in outcomes]


def texts(outcomes: list[Outcome]) -> dict[str, str]:
    """All that is known of each segment, its model's JSON included; numbers to the last bit, as repr writes them."""
    told = {outcome.segment: repr(outcome) for outcome in outcomes}
    assert len(told) == len(outcomes)
    return told


def differing(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    return [name for name in sorted(found.keys() | expected) if found.get(name) != expected.get(name)]


@pytest.mark.parametrize("engine", CLUSTERS)
def test_an_engine_connects_by_itself_and_sends_our_code(engine: str, source: Path) -> None:
    """Workers run what was sent, not what happens to be installed where they are; at the end nothing is left open."""
    address = {"ray": "local", "spark": f"local[{WORKERS}]"}[engine]
    outcomes = trained_by(engine, config_of(source, engine, engine__address=address), work=tell_code)
    places = {outcome.faults[0].code for outcome in outcomes if isinstance(outcome, Failed)}
    assert len(outcomes) == SEGMENTS
    assert places
    assert training.__path__[0] not in places
    assert not import_module("ray").is_initialized()
    assert import_module("pyspark.sql").SparkSession.getActiveSession() is None


@pytest.mark.parametrize("engine", CLUSTERS, indirect=True)
def test_engines_train_the_same_models(engine: str, source: Path, trained_here: dict[str, str]) -> None:
    """Through a connection that was there before."""
    assert differing(texts(trained_by(engine, config_of(source, engine))), trained_here) == []


def test_a_killed_worker_costs_only_time(
    engine: str, source: Path, trained_here: dict[str, str], tmp_path: Path
) -> None:
    """Killed with signal 9 in the middle, and every segment is there once and the same."""
    own = Path(shutil.copy(source, tmp_path))
    config = config_of(own, engine, segments=["shop [1-6]?/é"], chunk=5)
    expected = {name: text for name, text in trained_here.items() if fnmatchcase(name, "shop [1-6]?/é")}
    outcomes = trained_by(engine, config, work=train_after_an_accident)
    assert own.with_suffix(".second").exists()
    assert differing(texts(outcomes), expected) == []


@pytest.mark.parametrize("engine", CLUSTERS, indirect=True)
def test_a_segment_that_kills_its_workers_fails_alone(engine: str, source: Path) -> None:
    """Its neighbours in the chunk are trained, with one thread."""
    chunks = [chunk_of("a"), chunk_of("b", "poison", "c"), chunk_of("d")]
    outcomes = flat(train_all(engine, iter(chunks), config_of(source, engine), echo_or_die))
    codes = {outcome.segment: outcome.faults[0].code for outcome in outcomes if isinstance(outcome, Failed)}
    assert len(outcomes) == len(codes) == 5
    assert codes.pop("poison") == "worker_died"
    assert set(codes.values()) == {f"1 rows, {WORKERS} workers, 1 thread"}


@pytest.mark.parametrize("engine", CLUSTERS, indirect=True)
def test_few_chunks_are_drawn_ahead(engine: str, source: Path) -> None:
    """The source may be larger than memory."""
    drawn = 0

    def counted() -> Iterator[Any]:
        nonlocal drawn
        for letter in "abcdefghijklmnopqrstuvwxyz":
            drawn += 1
            yield chunk_of(letter)

    outcomes = train_all(engine, counted(), config_of(source, engine), echo_or_die)
    taken = [next(outcomes)]
    assert drawn <= 2 * WORKERS
    taken += outcomes
    assert drawn == len(flat(taken)) == 26


@pytest.mark.parametrize("engine", CLUSTERS, indirect=True)
def test_what_the_work_raises_ends_the_job(engine: str, source: Path) -> None:
    """It is no segment's fault when a cluster cannot run the code."""
    with pytest.raises(TrainingError, match=r"requirements/train\.txt(.|\n)*nothing to train 'a' with"):
        flat(train_all(engine, [chunk_of("a")], config_of(source, engine), fail))


class KillsAWorker:
    """The progress of a job, one of whose workers is killed as soon as something is registered."""

    def __init__(self) -> None:
        self.killed = ""

    def start(self, total: int) -> None: ...

    def advance(self, *_: object) -> None:
        if self.killed:
            return
        processes = [(process, title(process)) for process in psutil.Process().children(recursive=True)]
        workers = [pair for pair in processes if any(sign in pair[1] for sign in WORKER_SIGNS)]
        busy = sorted(workers, key=lambda pair: ("train_chunk" in pair[1], pair[0].create_time()))
        process, self.killed = busy[-1]
        process.kill()


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_a_job_whose_worker_is_killed_registers_each_segment_once(
    engine: str, table: pd.DataFrame, registry: Registry, tmp_path: Path
) -> None:
    """The job's own path, from file to registry."""
    source, names, progress = tmp_path / "history.parquet", sorted(table["segment"].unique())[:40], KillsAWorker()
    table[table["segment"].isin(names)].to_parquet(source, index=False)
    report = run_job(config_of(source, engine, chunk=5), registry, progress)
    assert progress.killed
    assert [segment.segment for segment in report.segments] == names
    assert {name: [version.version for version in registry.versions(name)] for name in names} == {
        name: [1] for name in names
    }
    assert {name: registry.champion(name).version for name in names} == dict.fromkeys(names, 1)


@pytest.fixture(scope="module")
def frame(spark: Any, table: pd.DataFrame) -> Any:
    """The table in Spark, in no order, its columns by other names, with a day without a shop."""
    rows = table.sample(frac=1, random_state=5).rename(columns={"segment": "shop", "ds": "day", "y": "sold"})
    return spark.createDataFrame(rows).union(spark.sql("select null, timestamp '2024-01-01', 1d"))


@pytest.fixture(scope="module")
def dataframe_config(source: Path) -> JobConfig:
    columns = {"segment": "shop", "ds": "day", "y": "sold"}
    return config_of(source, "spark", source__columns=columns)


@pytest.fixture(scope="module")
def trained_apart(table: pd.DataFrame, dataframe_config: JobConfig) -> dict[str, str]:
    """What each segment's rows, numbered from 0, are in this process; and the row without a segment."""
    segments = table.sort_values(["segment", "ds"]).groupby("segment")
    outcomes = [train_segment(name, rows.reset_index()[["ds", "y"]], dataframe_config) for name, rows in segments]
    keyless = Failed("", (Fault("missing_segment", "In column 'shop', 1 row has no key.", "shop"),))
    return texts([*outcomes, keyless])


def test_a_dataframe_is_trained_where_it_is(
    frame: Any, dataframe_config: JobConfig, trained_apart: dict[str, str]
) -> None:
    """The same models, to the bit, though its rows come in any order."""
    assert differing(texts(dataframe_outcomes(frame, dataframe_config)), trained_apart) == []


def test_a_killed_worker_costs_a_dataframe_only_time(
    frame: Any, dataframe_config: JobConfig, trained_apart: dict[str, str], tmp_path: Path
) -> None:
    """Its partition is trained again."""
    source = dataframe_config.source.model_copy(update={"path": tmp_path / "accident"})
    config = dataframe_config.model_copy(update={"source": source})
    outcomes = dataframe_outcomes(frame, config, work=train_after_an_accident)
    assert (tmp_path / "accident.second").exists()
    assert differing(texts(outcomes), trained_apart) == []


def test_only_the_segments_of_a_dataframe_that_were_asked_for_are_trained(
    frame: Any, dataframe_config: JobConfig, trained_apart: dict[str, str]
) -> None:
    """By name or pattern."""
    config = dataframe_config.model_copy(update={"segments": ("shop 7/é", "shop 2[!0-8]?/*")})
    names = {"shop 7/é", *(f"shop 29{last}/é" for last in range(10))}
    outcomes = texts(dataframe_outcomes(frame, config))
    assert outcomes.keys() == names
    assert differing(outcomes, {name: trained_apart[name] for name in names}) == []


def test_a_dataframe_that_cannot_be_trained_says_why(frame: Any, dataframe_config: JobConfig) -> None:
    """Before any work is done."""
    with pytest.raises(SourceError, match="lacks 'day'; its columns are 'shop', 'sold'"):
        dataframe_outcomes(frame.drop("day"), dataframe_config)
    with pytest.raises(SourceError, match="no rows"):
        dataframe_outcomes(frame.limit(0), dataframe_config)
    last = dataframe_config.checks.model_copy(update={"duplicates": "last"})
    with pytest.raises(ConfigError, match="order of rows"):
        dataframe_outcomes(frame, dataframe_config.model_copy(update={"checks": last}))


def test_a_dataframe_is_registered_from_where_it_is(
    frame: Any, dataframe_config: JobConfig, trained_apart: dict[str, str], registry: Registry
) -> None:
    """Every segment is a champion, made of the same JSON as any engine would make; the row without a key is told of."""
    spark_job = import_module("training.spark_job").spark_job
    source = SourceConfig(columns=dataframe_config.source.columns)
    begun: list[str] = []
    report = spark_job(frame, dataframe_config.model_copy(update={"source": source}), registry, begun=begun.append)
    assert begun == [report.run_id]
    assert report.totals == {"segments": SEGMENTS + 1, "trained": SEGMENTS - 2, "held": 0, "failed": 3}
    assert report.notes == ()
    assert {entry.segment for entry in report.segments.having("failed")} == {"", "shop 5/é", "shop 6/é"}
    for segment in ("shop 0/é", "shop 3/é", "shop 299/é"):
        champion = registry.champion(segment)
        assert f"model_json={registry.read(champion)!r}" in trained_apart[segment]
    run = registry.client.get_run(report.run_id)
    [given] = run.inputs.dataset_inputs
    rows = frame.count()
    assert (given.dataset.name, given.dataset.source_type) == ("dataframe", "spark")
    assert json.loads(given.dataset.profile) == {"num_rows": rows, "num_segments": SEGMENTS}
    assert run.data.params["segments_found"] == str(SEGMENTS)
    with pytest.raises(ConfigError, match="takes the place of path and url"):
        spark_job(frame, dataframe_config, registry)


def test_a_dataframe_is_known_by_its_rows_in_any_order(frame: Any, dataframe_config: JobConfig) -> None:
    """However they are parted; one row more is another table."""
    train_dataframe = import_module("training.engines.spark_dataframe").train_dataframe

    def digest(table: Any) -> str:
        return train_dataframe(table, dataframe_config).dataset.digest

    assert digest(frame) == digest(frame.repartition(3)) != digest(frame.union(frame.limit(1)))


def dataframe_outcomes(frame: Any, config: JobConfig, **work: Any) -> list[Outcome]:
    return flat(import_module("training.engines.spark_dataframe").train_dataframe(frame, config, **work).outcomes)
