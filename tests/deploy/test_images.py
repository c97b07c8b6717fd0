"""The images are small and bare, and do all of their work: read-only, without capabilities, in 512 MB of memory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from prophet import Prophet

from registry.log import JobLog
from registry.registry import Registry
from serving.arrow import MEDIA_TYPE
from tests.deploy.engine import READY_SECONDS, Container, Engine
from tests.e2e.conftest import log_from_notebook
from tests.waiting import say, until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(1200)]

USER = "10001:10001"
BENTO_USER = "1034:1034"
# Megabytes, uncompressed. The first is what is promised; the others are what they were, and a tenth.
BOUNDS = {"serving": 500, "trainer": 680, "bento": 1500}
TITLES = {"serving": "prophet-serving", "trainer": "prophet-trainer", "bento": "prophet-serving-bento"}
USERS = {"serving": USER, "trainer": USER, "bento": "bentoml"}
BUILDERS = ("gcc", "cc", "make", "pip", "pip3", "uv", "apt-get", "dpkg", "perl", "git")
AHEAD = 10


@pytest.fixture
def store(shared: Path, empty_store: Path) -> str:
    """An empty SQLite store in the shared folder, its artifacts beside it."""
    shutil.copy(empty_store, shared / "mlflow.db")
    _open_up(shared)
    return f"sqlite:///{shared}/mlflow.db"


@pytest.mark.parametrize("kind", BOUNDS)
def test_an_image_is_within_its_bound(kind: str, engine: Engine, request: pytest.FixtureRequest) -> None:
    """Printed as it is built."""
    assert engine.megabytes(request.getfixturevalue(f"{kind}_image")) <= BOUNDS[kind]


@pytest.mark.parametrize("kind", TITLES)
def test_an_image_says_what_it_is_and_who_runs_it(kind: str, engine: Engine, request: pytest.FixtureRequest) -> None:
    """OCI's labels; a user who is not root, and a number in our own images, which Kubernetes asks for."""
    config = engine.inspect(request.getfixturevalue(f"{kind}_image"))["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == TITLES[kind]
    assert labels["description"]
    assert labels["version"]
    assert labels["revision"]
    assert config["User"] == USERS[kind]


@pytest.mark.parametrize("kind", ["serving", "trainer"])
def test_nothing_in_an_image_builds_or_installs(kind: str, engine: Engine, request: pytest.FixtureRequest) -> None:
    """Neither programs nor pip as a module; the shell that looks for them is one that finds things."""
    image = request.getfixturevalue(f"{kind}_image")
    look = f"for name in {' '.join(BUILDERS)} sh; do command -v $name; done; python -c 'import pip' || echo no pip"
    found = engine.once(image, "-c", look, user=USER, entrypoint="sh").splitlines()
    assert [Path(line).name for line in found] == ["sh", "no pip"]


def test_a_serving_image_carries_nothing_that_only_trains(serving_image: str, engine: Engine) -> None:
    """No rooms and no packages of the trainer's, nor what compiled the kernels."""
    names = ("training", "cli", "typer", "matplotlib", "sklearn", "numba", "llvmlite")
    look = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)], u.find_spec('serving').name)"
    assert engine.once(serving_image, "python", "-c", look, user=USER) == "[] serving"


def test_what_the_trainer_trains_the_service_serves(
    engine: Engine, trainer_image: str, serving_image: str, store: str, shared: Path, postgres_url: str
) -> None:
    """Registered, promoted, inline, by the real Prophet, as Arrow, and logged to PostgreSQL; then it ends well."""
    _train(engine, trainer_image, store, shared, slope=1.0)
    _train(engine, trainer_image, store, shared, slope=-2.0, promote=False)
    sampled = _log_sampled(store, "sampled")
    _open_up(shared)
    with engine.serving(
        serving_image, user=USER, mounts=(shared,), MLFLOW_TRACKING_URI=store, FORECAST_LOG_URL=postgres_url
    ) as container:
        assert _first(container, model_id="shop_one") == pytest.approx(_by_prophet(store, "shop_one", 1), rel=1e-9)
        assert _first(container, model_id="sampled") == pytest.approx(sampled, rel=1e-9)
        _asks_for_arrow(container)
        _has_a_history_fitted(container)
        assert container.http.get("/health").json()["problems"] == []

        promote = ("promote", "shop_one", "2", "--tracking-uri", store)
        engine.once(trainer_image, *promote, user=USER, mounts=(shared,))
        live = until(lambda: _version(container, "shop_one") == 2, container.log)
        assert _first(container, model_id="shop_one") == pytest.approx(_by_prophet(store, "shop_one", 2), rel=1e-9)
        say(f"a promotion was live {live:.1f} s after the command ended")
        _ends_well(container)
    with sa.create_engine(postgres_url, poolclass=sa.NullPool).connect() as connection:
        logged = connection.execute(sa.text("SELECT DISTINCT segment FROM forecast_log_forecasts")).scalars().all()
    assert set(logged) == {"shop_one", "shop_two", "sampled", "a history"}


def test_the_service_follows_an_mlflow_server(
    engine: Engine, serving_image: str, mlflow_server: str, tmp_path: Path
) -> None:
    """Over HTTP, artifacts too: nothing is mounted, and the container has no database's password."""
    first = log_from_notebook(mlflow_server, "remote", 1.0, tmp_path)
    with engine.serving(serving_image, user=USER, MLFLOW_TRACKING_URI=mlflow_server) as container:
        assert _first(container, model_id="remote") == pytest.approx(first, rel=1e-9)
        second = log_from_notebook(mlflow_server, "remote", -3.0, tmp_path)
        until(lambda: _version(container, "remote") == 2, container.log)
        assert _first(container, model_id="remote") == pytest.approx(second, rel=1e-9)
        _ends_well(container)


def test_a_bento_image_serves_the_same(engine: Engine, bento_image: str, store: str, shared: Path) -> None:
    """A registered model, a promotion and a history, as the other image does."""
    first = log_from_notebook(store, "bento", 1.0, shared)
    _open_up(shared)
    with engine.serving(bento_image, user=BENTO_USER, mounts=(shared,), MLFLOW_TRACKING_URI=store) as container:
        assert _first(container, model_id="bento") == pytest.approx(first, rel=1e-9)
        second = log_from_notebook(store, "bento", -3.0, shared)
        until(lambda: _version(container, "bento") == 2, container.log)
        assert _first(container, model_id="bento") == pytest.approx(second, rel=1e-9)
        _has_a_history_fitted(container)
        _ends_well(container)


def _open_up(folder: Path) -> None:
    """Let the containers' users write what was written here."""
    for path in folder.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)


def _series(slope: float) -> pd.DataFrame:
    day = np.arange(120)
    noise = np.random.default_rng(7).normal(0, 1, day.size)
    y = 50 + slope * day + 5 * np.sin(2 * np.pi * day / 7) + noise
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=day.size), "y": y})


def _train(engine: Engine, image: str, store: str, shared: Path, *, slope: float, promote: bool = True) -> None:
    """Two segments, by the trainer's own command."""
    history = pd.concat([_series(slope).assign(segment=segment) for segment in ("shop_one", "shop_two")])
    history.to_csv(shared / "history.csv", index=False)
    words = ["train", "--path", str(shared / "history.csv"), "--cutoffs", "1", "--horizon", "7", "--workers", "1"]
    words += ["--tracking-uri", store, *([] if promote else ["--no-promote"])]
    engine.once(image, *words, user=USER, mounts=(shared,))


def _by_prophet(store: str, segment: str, version: int) -> list[float]:
    """What the version forecasts by MLflow's and Prophet's own code, here."""
    import mlflow

    mlflow.set_tracking_uri(store)
    model = mlflow.prophet.load_model(f"models:/forecast.{segment}/{version}")
    model.uncertainty_samples = 0
    return list(model.predict(model.make_future_dataframe(AHEAD, include_history=False))["yhat"])


def _log_sampled(store: str, segment: str) -> list[float]:
    """Register what only the real Prophet can forecast, a posterior that was sampled; its next yhat."""
    model = Prophet(mcmc_samples=20).fit(_series(0.5), chains=1, seed=1, show_progress=False)
    registry = Registry(store)
    with JobLog(registry, "sampled", {}) as job:
        version = job.log_segment(segment, model, params={}, metrics={}, tags={})
    registry.promote(segment, version.version)
    return list(model.predict(model.make_future_dataframe(AHEAD, include_history=False))["yhat"])


def _answer(container: Container, **body: Any) -> dict[str, Any]:
    answer = container.forecast(**body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _first(container: Container, **body: Any) -> list[float]:
    return [row["yhat"] for row in _answer(container, periods=AHEAD, **body)["forecast"]]


def _version(container: Container, segment: str) -> int:
    return int(_answer(container, model_id=segment)["model"]["version"])


def _asks_for_arrow(container: Container) -> None:
    """The same numbers as in JSON."""
    asked = [{"model_id": segment, "periods": AHEAD} for segment in ("shop_one", "shop_two")]
    answer = container.http.post("/forecast/batch", json={"requests": asked}, headers={"Accept": MEDIA_TYPE})
    assert answer.status_code == 200, answer.text
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table["yhat"].to_pylist() == [yhat for one in asked for yhat in _first(container, model_id=one["model_id"])]


def _has_a_history_fitted(container: Container) -> None:
    """A trend that goes on; without compiling, which would take far longer than a runner's start."""
    rows = _series(1.0).assign(ds=lambda frame: frame["ds"].astype(str)).to_dict("records")
    answer = _answer(container, model_id="a history", periods=7, data=rows)
    assert answer["model"]["solver"] == "exact"
    assert np.mean([row["yhat"] for row in answer["forecast"]]) == pytest.approx(50 + 123, rel=0.05)


def _ends_well(container: Container) -> None:
    """And was ready in time, which is told first; a machine that was busy with other things is no measure."""
    code, seconds = container.stop()
    busy = "" if container.idle else ", on a busy machine"
    say(f"ready in {container.ready:.1f} s{busy}, SIGTERM answered with {code} in {seconds:.1f} s")
    assert container.ready < READY_SECONDS or not container.idle
    assert code == 0, container.log()
