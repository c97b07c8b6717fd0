"""From champions to what a snapshot keeps of them: each read, checked, and packed or refused with its reason.

Pure but for the artifact store, so that a process of its own can do it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from forecasting.errors import Inexpressible, ModelError
from forecasting.forecast import forecast
from forecasting.future import make_future
from forecasting.state import ForecastModel
from forecasting.table import ModelTable
from registry.errors import BadArtifact
from registry.registry import bad_artifact, read_at
from registry.versions import Champion
from serving.model import model_info, served_model
from serving.snapshot import Other, Rejection
from serving.snapshot_writer import Part, Row

log = logging.getLogger("serving.checking")

_READING = 8  # artifacts fetched at once from a store that is not this machine
_DAY = 86_400 * 10**9


@dataclass(frozen=True, eq=False)
class Checked:
    """What came of some champions: rows of a snapshot, those that only the real Prophet answers for, and rejections."""

    part: Part
    others: dict[str, Other]
    rejected: dict[str, Rejection]


def check(champions: Sequence[Champion], uri: str) -> Checked:
    """Read and check champions of distinct segments, whose artifacts lie in the store at uri.

    One is served from arrays when it can be read without running anything it brings, its parameters are finite, and
    so is a forecast of the first row after its history.
    """
    rows: list[Row] = []
    models: list[ForecastModel] = []
    others: dict[str, Other] = {}
    rejected: dict[str, Rejection] = {}
    for champion, text in zip(champions, _texts(champions, uri), strict=True):
        mark, version = champion.mark, champion.version
        try:
            model = _checked_model(champion, text)
            served = served_model(version)
            if model is None:
                others[mark.segment] = Other(mark.version, mark.registered, served)
                continue
            rows.append(Row(mark, model_info(version, pd.Timestamp(model.history_end), model.solver), served))
            models.append(model)
        except BadArtifact as error:
            rejected[mark.segment] = _rejection(champion, str(error))
        except Exception as error:  # whatever a stranger's model provokes, the others go on
            log.exception("segment %r version %s cannot be checked", mark.segment, mark.version)
            rejected[mark.segment] = _rejection(champion, str(bad_artifact(version, error)))
    return Checked(Part(rows, ModelTable.pack(models)), others, rejected)


def _texts(champions: Sequence[Champion], uri: str) -> list[str | BadArtifact]:
    def read(champion: Champion) -> str | BadArtifact:
        try:
            return read_at(champion.location, champion.version, uri)
        except BadArtifact as error:
            return error

    if all(champion.location.startswith(("/", "file:")) for champion in champions):
        return [read(champion) for champion in champions]
    with ThreadPoolExecutor(_READING) as pool:
        return list(pool.map(read, champions))


def _checked_model(champion: Champion, text: str | BadArtifact) -> ForecastModel | None:
    """The model as arrays; None where only the real Prophet will do. Raises BadArtifact."""
    if isinstance(text, BadArtifact):
        raise text
    try:
        model = ForecastModel.from_json(text, freq=champion.version.tags.get("forecast.freq"))
        if not _forecasts_finitely(model):
            raise ModelError("its forecast of the row after its history is not finite")
    except Inexpressible:
        return None
    except ModelError as error:
        raise bad_artifact(champion.version, error) from error
    return model


def _forecasts_finitely(model: ForecastModel) -> bool:
    """Whether one row has a forecast: regressors at their means, conditions off, bounds as they last were."""
    means = dict(zip((term.name for term in model.features.regressors), model.regressor_mean, strict=True))
    known = {"cap": model.last_cap, "floor": model.last_floor, **means}
    columns = {name: np.array([known.get(name) or 0.0]) for name in model.required_columns}
    with np.errstate(all="ignore"):
        found = forecast(model, np.array([_next_date(model)]), columns)
    return bool(np.isfinite([found.yhat, found.yhat_lower, found.yhat_upper]).all())


def _next_date(model: ForecastModel) -> int:
    try:
        return int(make_future(model, 1)[0])
    except (ModelError, ValueError):  # a request for such a model has to name its dates
        return model.history_end + _DAY


def _rejection(champion: Champion, reason: str) -> Rejection:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Rejection(champion.mark.version, champion.mark.registered, reason, now)
