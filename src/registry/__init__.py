"""The only room that knows MLflow: names, versions, champions, and what training logs."""

import os

# Read by MLflow when it is imported or used: no progress bar for each small file, nor two lines for each run that ends
# on a server, which for a job is each segment; no telemetry.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
