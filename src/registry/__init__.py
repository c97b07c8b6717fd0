"""The only room that knows MLflow: names, versions, champions, and what training logs."""

import os

# Read by MLflow when it is imported or used: no progress bar for each small file, no telemetry.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
