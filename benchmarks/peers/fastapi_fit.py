"""The usual recipe: a FastAPI service that fits a Prophet to the posted history on every request.

Written as it is found in the wild, with what is found there: a cache that nothing uses, work that blocks
the event loop, and one handler that turns every fault into a 500.
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
model_cache: dict[str, Prophet] = {}


class DataPoint(BaseModel):
    ds: str
    y: float


class ForecastRequest(BaseModel):
    data: list[DataPoint]
    periods: int = 30
    model_id: str = "default"


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/forecast")
async def forecast(request: ForecastRequest) -> dict[str, Any]:
    try:
        if len(request.data) < 2:
            raise HTTPException(status_code=400, detail="at least 2 data points are needed")
        df = pd.DataFrame([point.model_dump() for point in request.data])
        df["ds"] = pd.to_datetime(df["ds"])

        model = Prophet(yearly_seasonality=True, weekly_seasonality=True, daily_seasonality=False)
        model.fit(df)
        future = model.make_future_dataframe(periods=request.periods)
        result = model.predict(future).tail(request.periods)

        rows = result[["ds", "yhat", "yhat_lower", "yhat_upper"]].copy()
        rows["ds"] = rows["ds"].dt.strftime("%Y-%m-%d")
        return {
            "forecast": rows.to_dict("records"),
            "model_id": request.model_id,
            "generated_at": datetime.now(UTC).isoformat(),
        }
    except Exception as e:
        raise HTTPException(status_code=500, detail=str(e)) from e
