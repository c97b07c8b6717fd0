# MLflow's server, with what it needs for PostgreSQL and S3, and the two jobs that prepare both.
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS uv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/uv.txt /tmp/
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --require-hashes -r /tmp/uv.txt

FROM ${BASE} AS build
COPY --from=uv /opt/uv/bin/uv /usr/local/bin/
ENV UV_NO_CACHE=1 VIRTUAL_ENV=/app/venv PATH=/app/venv/bin:$PATH
COPY requirements/mlflow.txt /tmp/
# What only trains models and draws goes; of the rest, what a server imports is compiled, by importing it.
RUN python -m venv --without-pip /app/venv && \
    uv pip install --require-hashes -r /tmp/mlflow.txt && \
    uv pip uninstall scikit-learn scipy joblib threadpoolctl matplotlib contourpy fonttools kiwisolver pillow && \
    find /app/venv -type d -name tests -prune -exec rm -rf {} + && \
    find /app/venv -path '*/pyarrow/*' \( -name 'include*' -o -name src -o -name '*flight*' \) -prune -exec rm -rf {} + && \
    python -c "import mlflow.cli, mlflow.server.fastapi_app, mlflow.store.tracking.sqlalchemy_store, \
mlflow.store.model_registry.sqlalchemy_store, mlflow.store.artifact.s3_artifact_repo, alembic.command, boto3, \
httptools, psycopg, sqlalchemy.dialects.postgresql.psycopg, uvicorn.workers, uvloop"

FROM ${BASE}
LABEL org.opencontainers.image.title="prophet-stack-mlflow"
COPY --from=build /app/venv /app/venv
COPY deploy/stack/mlflow-start /usr/local/bin/
COPY deploy/stack/make_bucket.py deploy/stack/healthy.py /app/
ENV PATH=/app/venv/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 GIT_PYTHON_REFRESH=quiet
WORKDIR /app
USER 10001:10001
EXPOSE 5000
ENTRYPOINT ["mlflow-start"]
CMD ["mlflow", "server"]
