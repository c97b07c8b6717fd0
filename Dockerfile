# Two images: everything locked, nothing that builds or installs in the last stage, a numeric user who is not root.
#   docker build -t prophet-serving .
#   docker build -t prophet-trainer --target trainer .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -p 3000:3000 -e MLFLOW_TRACKING_URI=http://mlflow:5000 \
#     -e FORECAST_KEYS_FILE=/etc/forecast/keys.json -v /etc/forecast:/etc/forecast:ro prophet-serving
# The service listens on every address, so it ends at once where it is given neither keys nor tokens nor leave to do
# without (docs/security.md). When to use which image, and what takes the room: docs/deployment.md.
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS uv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/uv.txt /tmp/
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --require-hashes -r /tmp/uv.txt

# What is compiled of the packages is kept as it is used, in `warm.py`: uv compiles nothing by itself. One step, since what
# a later one removes the layer of this one still holds: numba and LLVM, the largest packages of all, would only read
# what was compiled here.
FROM ${BASE} AS packages
COPY --from=uv /opt/uv/bin/uv /usr/local/bin/
ENV UV_NO_CACHE=1 VIRTUAL_ENV=/app/venv PATH=/app/venv/bin:$PATH
WORKDIR /app
COPY requirements/serve.txt requirements/train.txt /tmp/
COPY deploy/images/ images/
COPY src/forecasting src/forecasting
RUN python -m venv venv && uv pip install --require-hashes -r /tmp/serve.txt && \
    KEEP_COMPILER=yes images/compile-kernels && \
    images/slim-packages venv/lib/python3.11/site-packages matplotlib contourpy fonttools kiwisolver pillow

FROM packages AS build-serving
COPY service.py ./
COPY src/registry src/registry
COPY src/serving src/serving
RUN python -m compileall -q src service.py && PYTHONPATH=src python images/warm.py serving

FROM packages AS build-trainer
RUN python -m venv --clear venv && uv pip install --require-hashes -r /tmp/train.txt && \
    images/slim-packages venv/lib/python3.11/site-packages
COPY src src
RUN python -m compileall -q src && PYTHONPATH=src python images/warm.py trainer

FROM ${BASE} AS root
COPY deploy/images/slim-root deploy/images/prophetctl /usr/local/bin/
RUN slim-root && rm /usr/local/bin/slim-root

# From scratch, since what a layer removes the layers below it still hold. That is all of the base, on purpose.
FROM scratch AS run
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version=${VERSION} \
    org.opencontainers.image.revision=${REVISION}
# hadolint ignore=DL3067
COPY --from=root / /
# A read-only root file system is fine: all that is written goes below /tmp.
ENV PATH=/app/venv/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    HOME=/tmp \
    GIT_PYTHON_REFRESH=quiet \
    MLFLOW_DISABLE_TELEMETRY=true \
    PYTHONPATH=/app/src \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001

FROM run AS trainer
LABEL org.opencontainers.image.title="prophet-trainer" \
    org.opencontainers.image.description="prophetctl: trains, scores and prunes registered forecasts."
COPY --from=build-trainer /app/venv venv
COPY --from=build-trainer /app/src src
ENTRYPOINT ["prophetctl"]
CMD ["--help"]

FROM run AS serving
LABEL org.opencontainers.image.title="prophet-serving" \
    org.opencontainers.image.description="Forecasts of registered segments and of inline history, over HTTP."
COPY --from=build-serving /app/venv venv
COPY --from=build-serving /app/service.py service.py
COPY --from=build-serving /app/src src
ENV BENTOML_HOME=/tmp/bentoml \
    BENTOML_PORT=3000 \
    BENTOML_DO_NOT_TRACK=true
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as u; \
u.urlopen('http://127.0.0.1:' + os.environ['BENTOML_PORT'] + '/readyz', timeout=4)"]
CMD ["bentoml", "serve", "service:ForecastService", "--host", "0.0.0.0"]
