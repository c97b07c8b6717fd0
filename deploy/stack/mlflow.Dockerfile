# MLflow's server, with what it needs for PostgreSQL and S3, and the two jobs that prepare both.
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /app/venv
ENV PATH=/app/venv/bin:$PATH
COPY requirements/mlflow.txt /tmp/
RUN pip install --require-hashes -r /tmp/mlflow.txt && \
    find /app/venv -type d -name tests -prune -exec rm -rf {} + && \
    pip uninstall --yes --quiet pip

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
