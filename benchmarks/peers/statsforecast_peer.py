"""AutoETS and Theta of statsforecast, run by the Python of an environment of their own (they need pandas < 3).

`python statsforecast_peer.py SERIES.json FORECASTS.json`. SERIES.json: a list of {season, horizon, y}. FORECASTS.json:
by model, a list of {yhat, lower, upper, cpu} in the same order, with 80 % intervals and seconds of processor time, or
null where the model failed.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from statsforecast.models import AutoETS, DynamicOptimizedTheta

MODELS = {"AutoETS": AutoETS, "Theta": DynamicOptimizedTheta}


def forecast(kind, season: int, horizon: int, y: list[float]):
    began = time.process_time()
    try:
        found = kind(season_length=season).forecast(np.array(y, dtype=np.float64), h=horizon, level=[80])
    except Exception:  # a model that cannot be fitted has no forecast, and the comparison goes on without it
        return None
    arrays = {"yhat": found["mean"], "lower": found["lo-80"], "upper": found["hi-80"]}
    if not all(np.isfinite(values).all() for values in arrays.values()):
        return None
    return {name: values.tolist() for name, values in arrays.items()} | {"cpu": time.process_time() - began}


def main() -> None:
    warnings.simplefilter("ignore")
    given, wanted = (Path(name) for name in sys.argv[1:])
    series = json.loads(given.read_text(encoding="utf-8"))
    for kind in MODELS.values():  # compiles, which is nobody's time
        forecast(kind, 4, 2, list(np.arange(1.0, 25.0) + np.tile([0.0, 2.0, 1.0, 3.0], 6)))
    found = {name: [forecast(kind, **one) for one in series] for name, kind in MODELS.items()}
    wanted.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
