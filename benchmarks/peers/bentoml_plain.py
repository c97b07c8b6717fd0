"""A plain BentoML service: one model from MLflow, one endpoint that calls Prophet.predict.

The model's URI comes from MODEL_URI.
"""

from __future__ import annotations

import os
from typing import Any

import bentoml
import mlflow


@bentoml.service
class ProphetForecast:
    def __init__(self) -> None:
        self.model = mlflow.prophet.load_model(os.environ["MODEL_URI"])

    @bentoml.api
    def forecast(self, model_id: str = "default", periods: int = 30) -> dict[str, Any]:
        future = self.model.make_future_dataframe(periods=periods, include_history=False)
        rows = self.model.predict(future)[["ds", "yhat", "yhat_lower", "yhat_upper"]].copy()
        rows["ds"] = rows["ds"].dt.strftime("%Y-%m-%d")
        return {"forecast": rows.to_dict("records"), "model_id": model_id}
