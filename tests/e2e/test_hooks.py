"""MLflow's own webhook makes a promotion live long before a look at all champions would."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from registry.names import model_name
from registry.registry import CHAMPION
from tests.e2e.conftest import log_from_notebook, serve

SECRET = "a secret of MLflow's"
SEGMENT = "hooked"


def test_what_mlflow_says_is_followed_at_once(mlflow_server: str, tmp_path: Path) -> None:
    """The service looks at the registry's champions once an hour, so that whatever it sees, a webhook told it."""
    first = log_from_notebook(mlflow_server, SEGMENT, 1.0, tmp_path)
    environment = {"FORECAST_POLL_SECONDS": "3600", "FORECAST_WEBHOOK_SECRET": SECRET}
    with serve(mlflow_server, tmp_path, **environment) as service:
        answer = service.until(lambda response: response.status_code == 200, model_id=SEGMENT, periods=10)
        assert [row["yhat"] for row in answer.json()["forecast"]] == pytest.approx(first, rel=1e-9)
        client = MlflowClient(mlflow_server, mlflow_server)
        hook = client.create_webhook(
            "forecasts",
            str(service.http.base_url.join("/hooks/mlflow")),
            ["model_version_alias.created", "model_version_alias.deleted"],
            secret=SECRET,
        )
        try:
            assert client.test_webhook(hook.webhook_id).response_status == 204
            second = log_from_notebook(mlflow_server, SEGMENT, -3.0, tmp_path)
            answer = service.until(
                lambda response: response.json()["model"]["version"] == 2, seconds=60, model_id=SEGMENT, periods=10
            )
            assert [row["yhat"] for row in answer.json()["forecast"]] == pytest.approx(second, rel=1e-9)
            client.set_registered_model_alias(model_name(SEGMENT), CHAMPION, "1")
            service.until(lambda response: response.json()["model"]["version"] == 1, seconds=60, model_id=SEGMENT)
            client.delete_registered_model_alias(model_name(SEGMENT), CHAMPION)
            service.until(lambda response: response.status_code == 404, seconds=60, model_id=SEGMENT)
        finally:
            client.delete_webhook(hook.webhook_id)
        assert service.http.post("/hooks/mlflow").status_code == 401
