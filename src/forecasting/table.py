"""Many models as two arrays: one record a model and one arena of floats, to be memory-mapped and shared by processes.

A model's block in the arena holds, one after the other (D draws, S changepoints, K design columns, R regressors,
H calibrated horizons): coefficients (K) at the mean of the draws, regressor means (R) and deviations (R),
changepoints (S), slopes (S + 1) and intercepts (S + 1) of the trend's lines, calibrated horizons (H) and factors (H),
then row by row the draws (D) of k, m, sigma_obs, delta (S) and, only where D > 1, beta (K).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from forecasting.features import FeatureTable
from forecasting.state import Calibration, ForecastModel
from forecasting.trend import GROWTHS, Floats

Integers = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]
_NO_DATE = np.iinfo(np.int64).min

RECORD = np.dtype(
    [
        ("start", "<i8"),
        ("t_scale", "<f8"),
        ("y_min", "<f8"),
        ("y_scale", "<f8"),
        ("constant_floor", "<f8"),
        ("interval_width", "<f8"),
        ("last_date", "<i8"),
        ("last_cap", "<f8"),  # NaN for none
        ("last_floor", "<f8"),
        ("log_posterior", "<f8"),
        # The trend's last line, on which nearly every forecast lies: from last_changepoint on.
        ("last_changepoint", "<f8"),
        ("last_slope", "<f8"),
        ("last_intercept", "<f8"),
        # What the interval of a point estimate needs; means over the draws where D > 1.
        ("laplace_scale", "<f8"),
        ("sigma_obs", "<f8"),
        ("n_history", "<i8"),
        ("block", "<i8"),  # where the model's block begins in the arena
        ("n_draws", "<i4"),
        ("n_changepoints", "<i4"),
        ("n_columns", "<i4"),
        ("n_regressors", "<i4"),
        ("n_calibrated", "<i4"),
        ("features", "<i4"),  # its place in ModelTable.features
        ("freq", "<i2"),  # its place in ModelTable.texts; -1 for none
        ("solver", "<i2"),
        ("growth", "<i1"),  # its place in GROWTHS
        ("minmax", "?"),
        ("has_floor", "?"),
    ],
    align=True,
)


@dataclass(frozen=True, eq=False)
class ModelTable:
    """Packed models, by position. features and texts hold what models share; records: (M,) of RECORD; arena: floats."""

    features: tuple[FeatureTable, ...]
    texts: tuple[str, ...]
    records: Records
    arena: Floats

    def __len__(self) -> int:
        return len(self.records)

    @property
    def nbytes(self) -> int:
        """The bytes of both arrays."""
        return self.records.nbytes + self.arena.nbytes

    @property
    def last_dates(self) -> Integers:
        """(M,): the last date that each history named, in nanoseconds; forecasts begin after it."""
        last, ends = (
            self.records["last_date"],
            self.records["start"] + np.rint(self.records["t_scale"]).astype(np.int64),
        )
        return np.where(last == _NO_DATE, ends, last)

    @classmethod
    def pack(cls, models: Sequence[ForecastModel]) -> ModelTable:
        """Pack models; features that are equal are kept once."""
        features: dict[FeatureTable, int] = {}
        texts: dict[str, int] = {}
        records = np.zeros(len(models), dtype=RECORD)
        blocks: list[Floats] = []
        filled = 0
        for position, model in enumerate(models):
            block = _block(model)
            record = records[position]
            _describe(record, model)
            record["block"] = filled
            record["features"] = features.setdefault(model.features, len(features))
            record["freq"] = -1 if model.freq is None else texts.setdefault(model.freq, len(texts))
            record["solver"] = texts.setdefault(model.solver, len(texts))
            blocks.append(block)
            filled += len(block)
        return cls(tuple(features), tuple(texts), records, np.concatenate(blocks) if blocks else np.empty(0))

    def model(self, position: int) -> ForecastModel:
        """Unpack one model: equal to the one that was packed, to the bit."""
        record: Any = self.records[position]
        parts = self._parts(record)
        draws = parts["draws"].reshape(int(record["n_draws"]), -1)
        s = int(record["n_changepoints"])
        horizons, factors = parts["horizons"], parts["factors"]
        last_date, likelihood = int(record["last_date"]), float(record["log_posterior"])
        return ForecastModel(
            growth=GROWTHS[record["growth"]],
            start=int(record["start"]),
            t_scale=float(record["t_scale"]),
            y_min=float(record["y_min"]),
            y_scale=float(record["y_scale"]),
            changepoints_t=parts["changepoints"],
            k=draws[:, 0],
            m=draws[:, 1],
            sigma_obs=draws[:, 2],
            delta=draws[:, 3 : 3 + s],
            beta=draws[:, 3 + s :] if len(draws) > 1 else parts["coefficients"][None, :],
            features=self.features[record["features"]],
            regressor_mean=parts["means"],
            regressor_std=parts["deviations"],
            scaling="minmax" if record["minmax"] else "absmax",
            has_floor=bool(record["has_floor"]),
            last_cap=_or_none(record["last_cap"]),
            last_floor=_or_none(record["last_floor"]),
            n_history=int(record["n_history"]),
            interval_width=float(record["interval_width"]),
            last_date=None if last_date == _NO_DATE else last_date,
            freq=None if record["freq"] < 0 else self.texts[record["freq"]],
            calibration=Calibration(horizons, factors) if len(factors) else None,
            solver=self.texts[record["solver"]],
            log_posterior=None if np.isnan(likelihood) else likelihood,
        )

    def _parts(self, record: Any) -> dict[str, Floats]:
        """Views of a model's block by name."""
        d, s, k, r, h = (
            int(record[name]) for name in ("n_draws", "n_changepoints", "n_columns", "n_regressors", "n_calibrated")
        )
        lengths = {"coefficients": k, "means": r, "deviations": r, "changepoints": s, "slopes": s + 1}
        lengths |= {"intercepts": s + 1, "horizons": h, "factors": h, "draws": d * (3 + s + (k if d > 1 else 0))}
        parts, at = {}, int(record["block"])
        for name, length in lengths.items():
            parts[name] = self.arena[at : at + length]
            at += length
        return parts


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _block(model: ForecastModel) -> Floats:
    """A model's block, in the order that the head of this file gives."""
    lines, calibration, s = model.trend_lines, model.calibration, model.n_changepoints
    flat = len(lines.slopes) == 1 != s + 1  # one line stands for all: repeated, it needs no case of its own
    draws = [model.k[:, None], model.m[:, None], model.sigma_obs[:, None], model.delta]
    if model.n_draws > 1:
        draws.append(model.beta)
    return np.concatenate(
        [
            model.beta.mean(axis=0) if model.n_draws > 1 else model.beta[0],
            model.regressor_mean,
            model.regressor_std,
            model.changepoints_t,
            np.repeat(lines.slopes, s + 1) if flat else lines.slopes,
            np.repeat(lines.intercepts, s + 1) if flat else lines.intercepts,
            *((calibration.horizons, calibration.factors) if calibration else ()),
            np.hstack(draws).ravel(),
        ]
    )


def _describe(record: Any, model: ForecastModel) -> None:
    """Fill in what a record says of one model, all but its places in the table."""
    lines = model.trend_lines
    for name in ("start", "t_scale", "y_min", "y_scale", "constant_floor", "interval_width", "has_floor"):
        record[name] = getattr(model, name)
    record["last_date"] = _NO_DATE if model.last_date is None else model.last_date
    record["last_cap"] = np.nan if model.last_cap is None else model.last_cap
    record["last_floor"] = np.nan if model.last_floor is None else model.last_floor
    record["n_history"] = model.n_history
    record["log_posterior"] = np.nan if model.log_posterior is None else model.log_posterior
    record["last_changepoint"] = lines.changepoints[-1] if len(lines.changepoints) else -np.inf
    record["last_slope"], record["last_intercept"] = lines.slopes[-1], lines.intercepts[-1]
    record["laplace_scale"], record["sigma_obs"] = model.laplace_scale.mean(), model.sigma_obs.mean()
    record["n_draws"], record["n_changepoints"] = model.n_draws, model.n_changepoints
    record["n_columns"], record["n_regressors"] = model.features.n_columns, len(model.features.regressors)
    record["n_calibrated"] = len(model.calibration.factors) if model.calibration else 0
    record["growth"], record["minmax"] = GROWTHS.index(model.growth), model.scaling == "minmax"
