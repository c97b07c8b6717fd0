# Two images: everything locked, nothing that builds in the last stage, a numeric user who is not root.
#   docker build -t prophet-serving .
#   docker build -t prophet-trainer --target trainer .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -p 3000:3000 -e MLFLOW_TRACKING_URI=http://mlflow:5000 \
#     -e FORECAST_KEYS_FILE=/etc/forecast/keys.json -v /etc/forecast:/etc/forecast:ro prophet-serving
# The service listens on every address, so it ends at once where it is given neither keys nor tokens nor leave to do
# without (docs/security.md). When to use which image: docs/deployment.md.
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /app/venv
ENV PATH=/app/venv/bin:$PATH
WORKDIR /app
# The kernels are compiled for any processor of this architecture, since the one that builds is not the one that runs.
ENV PYTHONPATH=/app/src NUMBA_CACHE_DIR=/app/numba NUMBA_CPU_NAME=generic
COPY requirements/serve.txt requirements/train.txt /tmp/
COPY deploy/images/ /app/images/

# What is removed is never imported here: tests, MLflow's web page, Arrow's network parts, and (while serving) what
# plots and what scikit-learn's models need. Whole seconds, since numba trusts a kernel by the date of its source,
# and a layer may keep no fraction.
FROM build AS build-serving
RUN pip install --require-hashes -r /tmp/serve.txt && \
    pip uninstall --yes --quiet scikit-learn skops matplotlib contourpy fonttools kiwisolver pillow && \
    find /app/venv -type d -name tests -prune -exec rm -rf {} + && \
    rm -rf venv/lib/python3.11/site-packages/mlflow/server/js \
        venv/lib/python3.11/site-packages/pyarrow/include \
        venv/lib/python3.11/site-packages/pyarrow/*flight* \
        venv/lib/python3.11/site-packages/pyarrow/*substrait* && \
    pip uninstall --yes --quiet pip
COPY service.py /app/
COPY src/forecasting /app/src/forecasting
COPY src/registry /app/src/registry
COPY src/serving /app/src/serving
RUN find src service.py -exec touch -d 2026-01-01 {} + && \
    python -m compileall -q src service.py && python images/warm.py

FROM build AS build-trainer
RUN pip install --require-hashes -r /tmp/train.txt && \
    find /app/venv -type d -name tests -prune -exec rm -rf {} + && \
    rm -rf venv/lib/python3.11/site-packages/mlflow/server/js \
        venv/lib/python3.11/site-packages/pyarrow/include && \
    pip uninstall --yes --quiet pip
COPY src /app/src
RUN find src -exec touch -d 2026-01-01 {} + && python -m compileall -q src && python images/warm.py

FROM ${BASE} AS run
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version=${VERSION} \
    org.opencontainers.image.revision=${REVISION}
COPY deploy/images/prophet-serving-start deploy/images/prophetctl /usr/local/bin/
# A read-only root file system is fine: all that is written goes below /tmp.
ENV PATH=/app/venv/bin:$PATH \
    HOME=/tmp \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=true \
    GIT_PYTHON_REFRESH=quiet \
    MLFLOW_DISABLE_TELEMETRY=true \
    NUMBA_CACHE_DIR=/tmp/numba \
    NUMBA_CPU_NAME=generic \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001

FROM run AS trainer
LABEL org.opencontainers.image.title="prophet-trainer" \
    org.opencontainers.image.description="prophetctl: trains, scores and prunes registered forecasts."
COPY --from=build-trainer /app/venv /app/venv
COPY --from=build-trainer /app/src /app/src
COPY --from=build-trainer /app/numba /app/numba
ENV PYTHONPATH=/app/src
ENTRYPOINT ["prophetctl"]
CMD ["--help"]

FROM run AS serving
LABEL org.opencontainers.image.title="prophet-serving" \
    org.opencontainers.image.description="Forecasts of registered segments and of inline history, over HTTP."
COPY --from=build-serving /app/venv /app/venv
COPY --from=build-serving /app/service.py /app/service.py
COPY --from=build-serving /app/src /app/src
COPY --from=build-serving /app/numba /app/numba
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/readyz', timeout=4)"]
ENTRYPOINT ["prophet-serving-start"]
CMD ["bentoml", "serve", "service:ForecastService", "--host", "0.0.0.0", "--port", "3000"]
