"""Prophet as arrays against the prophet package: predict, load, fit and memory, in one process, medians.

Every segment has 731 daily points, so yearly and weekly seasonality are both on; forecasts are 30 days with the
interval of yhat and trend. One thread of linear algebra for both sides.
"""

from __future__ import annotations

import logging
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import numpy.typing as npt
import pandas as pd
from prophet import Prophet
from prophet.serialize import model_from_json, model_to_json
from threadpoolctl import threadpool_limits

from benchmarks.frame import Row, busy_percent, compare, options, report
from benchmarks.history import FIRST_DAY, POINTS, many_daily
from forecasting.backend import with_exact_solver
from forecasting.errors import FitError
from forecasting.fit import SharedCalendar
from forecasting.forecast import forecast, forecast_many
from forecasting.future import make_future
from forecasting.predict_many import RowBlock
from forecasting.prophet_json_writer import write_model
from forecasting.spec import ProphetSpec
from forecasting.state import ForecastModel
from forecasting.table import ModelTable

PERIODS, SEGMENTS, PACKED = 30, 256, 100_000
PREDICT, FIT, LOAD = "Prophet.predict", "Prophet.fit (cmdstan)", "model_from_json"
SERVED = ("forecast", "predict_many", "table_file", "future", "prophet_json")
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pace:
    """How often each thing is timed, and how many of the 256 segments the peer's loop really runs over."""

    repeats: int
    looped: int
    series: int


FULL, QUICK = Pace(repeats=15, looped=SEGMENTS, series=200), Pace(repeats=2, looped=8, series=20)


def main() -> int:
    """Measure everything and report."""
    given = options(__doc__ or "")
    pace = QUICK if given.quick else FULL
    logging.disable(logging.INFO)  # cmdstanpy tells of every fit
    warnings.simplefilter("ignore", FutureWarning)
    print(f"Busy with other things before the run: {busy_percent():.0f} % of the processor.")
    with threadpool_limits(1):
        segments = Segments.make(pace.series)
        rows = [*predict_rows(segments, pace), *fit_rows(segments, pace), *size_rows(segments, pace)]
    return report("forecasting", rows, given)


@dataclass(frozen=True)
class Segments:
    """Made-up series on the same dates: y (N, POINTS), positive; additive and multiplicative fits of them."""

    ds: Integers
    y: npt.NDArray[np.float64]
    models: Sequence[ForecastModel]

    @classmethod
    def make(cls, count: int) -> Segments:
        ds, y = pd.date_range(FIRST_DAY, periods=POINTS).as_unit("ns").asi8, many_daily(count)
        return cls(ds, y, _sound(SharedCalendar.of(ds, ProphetSpec(), "D").fit(y)))

    def frame(self, place: int) -> pd.DataFrame:
        """One series as Prophet takes it."""
        return pd.DataFrame({"ds": self.ds.view("M8[ns]"), "y": self.y[place]})


def predict_rows(segments: Segments, pace: Pace) -> Iterator[Row]:
    """One segment, and many at once, against Prophet.predict on the same models."""
    models = [model for model, _ in zip(cycle(segments.models), range(SEGMENTS), strict=False)]
    texts = [write_model(model, segments.frame(place % len(segments.y))) for place, model in enumerate(models)]
    prophets = [model_from_json(text) for text in texts[: pace.looped]]
    ds = make_future(models[0], PERIODS)
    future = pd.DataFrame({"ds": ds.view("M8[ns]")})
    theirs = median_seconds(lambda: prophets[0].predict(future), pace.repeats)
    one = median_seconds(lambda: forecast(models[0], ds), pace.repeats, calls=200)
    yield _row("predict 30 days with intervals, one segment", "us", one, PREDICT, theirs, 500)
    unseen = iter(ds + np.arange(1, 20_000)[:, None] * 86_400 * 10**9)
    other = median_seconds(lambda: forecast(models[0], next(unseen)), pace.repeats, calls=50)
    yield _row("the same, on dates that no one asked for before", "us", other, PREDICT, theirs, None)
    started = time.perf_counter()
    for prophet in prophets:
        prophet.predict(future)
    loop = (time.perf_counter() - started) * SEGMENTS / len(prophets)
    table = ModelTable.pack(models)
    block = RowBlock(np.arange(SEGMENTS), np.arange(SEGMENTS + 1) * PERIODS, np.tile(ds, SEGMENTS))
    many = median_seconds(lambda: forecast_many(table, block), pace.repeats, calls=10)
    yield _row(f"{SEGMENTS} segments at once", "us", many, f"a loop of {PREDICT}", loop, 10_000)
    load = median_seconds(lambda: ForecastModel.from_json(texts[0]), pace.repeats, calls=5)
    reload = median_seconds(lambda: model_from_json(texts[0]), pace.repeats)
    yield _row("load a model from JSON", "us", load, LOAD, reload, 10)


def fit_rows(segments: Segments, pace: Pace) -> Iterator[Row]:
    """Prophet.fit with either backend, and the bulk path."""
    for mode, bars in (("additive", (4, 100, 50)), ("multiplicative", (None, 15, 15))):
        spec = ProphetSpec(seasonality_mode=mode)
        places = cycle(range(len(segments.y)))

        def fit_with(prepare: Callable[[Prophet], Prophet], mode: str = mode, places: Iterator[int] = places) -> None:
            model = prepare(Prophet(seasonality_mode=mode, uncertainty_samples=0))
            model.fit(segments.frame(next(places)))

        theirs = median_seconds(lambda: fit_with(lambda model: model), pace.repeats)
        backend = median_seconds(lambda: fit_with(with_exact_solver), pace.repeats)
        yield _row(f"Prophet.fit with the exact backend, {mode}", "ms", backend, FIT, theirs, bars[0])

        def fit_shared(spec: ProphetSpec = spec) -> None:
            _sound(SharedCalendar.of(segments.ds, spec, "D").fit(segments.y))

        shared = median_seconds(fit_shared, max(2, pace.repeats // 3)) / len(segments.y)
        yield _row(f"bulk {mode} fit, calendar shared by {len(segments.y)}", "ms", shared, FIT, theirs, bars[1])

        def fit_own(spec: ProphetSpec = spec, places: Iterator[int] = places) -> None:
            place = next(places)
            _sound(SharedCalendar.of(segments.ds, spec, "D").fit(segments.y[place : place + 1]))

        own = median_seconds(fit_own, pace.repeats, calls=5)
        yield _row(f"bulk {mode} fit, a calendar of its own", "ms", own, FIT, theirs, bars[2])


def size_rows(segments: Segments, pace: Pace) -> Iterator[Row]:
    """Memory of a packed catalog, and what an import costs, each against its bound."""
    models = [model for model, _ in zip(cycle(segments.models), range(PACKED), strict=False)]
    packed = ModelTable.pack(models).nbytes / 1e6
    bound = "the bound"
    yield compare(f"{PACKED:,} models packed", "MB", ours=packed, peer=bound, theirs=200, better="less", bar=1)
    text = len(model_to_json(with_exact_solver(Prophet()).fit(segments.frame(0)))) * PACKED / 1e6
    yield compare(f"{PACKED:,} models packed", "MB", ours=packed, peer="Prophet's JSON", theirs=text, better="less")
    seconds = statistics.median(_import_seconds() for _ in range(max(3, pace.repeats // 2)))
    yield compare(
        "import what serving needs, after numpy and pandas",
        "s",
        ours=seconds,
        peer=bound,
        theirs=0.5,
        better="less",
        bar=1,
    )


def median_seconds(work: Callable[[], object], repeats: int, calls: int = 1) -> float:
    """The median time of a call, over repeats of so many calls, after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        times.append((time.perf_counter() - started) / calls)
    return statistics.median(times)


def _row(name: str, unit: str, ours: float, peer: str, theirs: float, bar: float | None) -> Row:
    factor = {"us": 1e6, "ms": 1e3}[unit]
    return compare(name, unit, ours=ours * factor, peer=peer, theirs=theirs * factor, better="less", bar=bar)


def _sound(found: Sequence[ForecastModel | FitError]) -> list[ForecastModel]:
    """The models, all of them by the exact solver: a benchmark of fallbacks would measure something else."""
    models = [model for model in found if isinstance(model, ForecastModel) and model.solver == "exact"]
    if len(models) != len(found):
        raise RuntimeError(f"{len(found) - len(models)} of {len(found)} series were not fitted by the exact solver")
    return models


def _import_seconds() -> float:
    imports = "; ".join(f"import forecasting.{name}" for name in SERVED)
    clock = f"started = time.perf_counter(); {imports}; print(time.perf_counter() - started)"
    code = f"import sys, time, numpy, pandas; sys.path[:0] = {sys.path!r}; {clock}"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
