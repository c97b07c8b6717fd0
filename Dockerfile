# The serving image: everything locked, nothing that builds in the last stage, not root.
#   docker build -t prophet-serving .
#   docker run -p 3000:3000 -e MLFLOW_TRACKING_URI=http://mlflow:5000 \
#     -e FORECAST_KEYS_FILE=/etc/forecast/keys.json -v /etc/forecast:/etc/forecast:ro prophet-serving
# It listens on every address, so it ends at once where it is given neither keys nor tokens nor leave to do without
# (docs/security.md).
FROM docker.io/library/python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /app/venv
COPY requirements/serve.txt /tmp/serve.txt
RUN /app/venv/bin/pip install --require-hashes -r /tmp/serve.txt

FROM docker.io/library/python:3.11-slim
COPY --from=build /app/venv /app/venv
COPY service.py /app/
COPY src/forecasting /app/src/forecasting
COPY src/registry /app/src/registry
COPY src/serving /app/src/serving
# A read-only root file system is fine: all that is written goes below /tmp.
ENV PATH=/app/venv/bin:$PATH \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/readyz', timeout=4)"]
CMD ["bentoml", "serve", "service:ForecastService", "--host", "0.0.0.0", "--port", "3000"]
