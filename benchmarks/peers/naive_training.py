"""The training that most tutorials build: segment after segment Prophet.fit, cross_validation, log_model, an alias.

`python naive_training.py HISTORY CUTOFFS HORIZON PERIOD SEGMENT...`, with the store in MLFLOW_TRACKING_URI and the
folder for models in MLFLOW_DEFAULT_ARTIFACT_ROOT. The first segment warms up and does not count. Prints JSON: segments,
and the seconds that each part took, `cpu` among them.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
import warnings

import mlflow
import pandas as pd
from mlflow.models import infer_signature
from prophet import Prophet
from prophet.diagnostics import cross_validation, performance_metrics


def train(segment: str, history: pd.DataFrame, cutoffs: int, horizon: int, period: int) -> list[float]:
    """Train, backtest and register one segment, and say when each part ended."""
    days, moments = history["ds"], [time.perf_counter()]
    model = Prophet().fit(history)
    moments.append(time.perf_counter())
    ends = [days.iloc[-1 - horizon - step * period] for step in range(cutoffs)]
    crossed = cross_validation(model, horizon=f"{horizon} days", cutoffs=ends[::-1], disable_tqdm=True)
    measured = performance_metrics(crossed, rolling_window=1).iloc[0]
    moments.append(time.perf_counter())
    future = model.make_future_dataframe(horizon, include_history=False)
    with mlflow.start_run(run_name=segment):
        mlflow.log_params({"growth": model.growth, "changepoint_prior_scale": model.changepoint_prior_scale})
        mlflow.log_metrics({name: float(measured[name]) for name in ("mae", "rmse", "mape", "smape", "coverage")})
        logged = mlflow.prophet.log_model(
            model,
            name="model",
            signature=infer_signature(future, model.predict(future)),
            registered_model_name=f"naive.{segment}",
        )
    version = str(logged.registered_model_version)
    mlflow.MlflowClient().set_registered_model_alias(f"naive.{segment}", "champion", version)
    return [*moments, time.perf_counter()]


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    path, *numbers = sys.argv[1:5]
    cutoffs, horizon, period = map(int, numbers)
    names = sys.argv[5:]
    table = pd.read_parquet(path, filters=[("segment", "in", names)]).astype({"segment": "str"})
    histories = {str(name): own[["ds", "y"]].sort_values("ds") for name, own in table.groupby("segment")}
    mlflow.set_experiment(experiment_id=_experiment(f"naive {names[0]}"))
    spent = {"fit": 0.0, "backtest": 0.0, "register": 0.0, "cpu": 0.0}
    for number, name in enumerate(names):
        began = _cpu()
        moments = train(name, histories[name], cutoffs, horizon, period)
        if number == 0:
            continue
        for part, start, stop in zip(("fit", "backtest", "register"), moments, moments[1:], strict=False):
            spent[part] += stop - start
        spent["cpu"] += _cpu() - began
    print(json.dumps({"segments": len(names) - 1, **spent}))


def _experiment(name: str) -> str:
    return mlflow.create_experiment(name, artifact_location=f"{os.environ['MLFLOW_DEFAULT_ARTIFACT_ROOT']}/{name}")


def _cpu() -> float:
    """Processor seconds of this process and of cmdstan's, which are over."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
