"""The usual recipe, mended once: the first request of a model_id brings the history, the fitted model is kept.

`?include_history=true` predicts the history rows again and throws them away, as make_future_dataframe has
it by default; `?include_history=false` predicts the future rows only.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from fastapi import FastAPI, HTTPException
from prophet import Prophet
from pydantic import BaseModel

logging.getLogger("cmdstanpy").setLevel(logging.WARNING)

app = FastAPI(title="Prophet forecasts")
models: dict[str, Prophet] = {}


class DataPoint(BaseModel):
    ds: str
    y: float


class ForecastRequest(BaseModel):
    data: list[DataPoint] | None = None
    periods: int = 30
    model_id: str = "default"


def train(data: list[DataPoint]) -> Prophet:
    df = pd.DataFrame([point.model_dump() for point in data])
    df["ds"] = pd.to_datetime(df["ds"])
    model = Prophet(yearly_seasonality=True, weekly_seasonality=True, daily_seasonality=False)
    model.fit(df)
    return model


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/forecast")
async def forecast(request: ForecastRequest, include_history: bool = True) -> dict[str, Any]:
    if request.data is not None:
        models[request.model_id] = train(request.data)
    model = models.get(request.model_id)
    if model is None:
        raise HTTPException(status_code=404, detail=f"no model {request.model_id}")

    future = model.make_future_dataframe(periods=request.periods, include_history=include_history)
    result = model.predict(future).tail(request.periods)
    rows = result[["ds", "yhat", "yhat_lower", "yhat_upper"]].copy()
    rows["ds"] = rows["ds"].dt.strftime("%Y-%m-%d")
    return {
        "forecast": rows.to_dict("records"),
        "model_id": request.model_id,
        "generated_at": datetime.now(UTC).isoformat(),
    }
