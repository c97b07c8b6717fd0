# An S3 store for one machine: OpenStack Swift, whose servers all run in this one container, on one disk, one copy each.
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS uv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/uv.txt /tmp/
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --require-hashes -r /tmp/uv.txt

FROM ${BASE} AS build
COPY --from=uv /opt/uv/bin/uv /usr/local/bin/
ENV UV_NO_CACHE=1 VIRTUAL_ENV=/app/venv PATH=/app/venv/bin:$PATH
COPY requirements/store.txt /tmp/
RUN python -m venv --without-pip /app/venv && \
    uv pip install --compile-bytecode --require-hashes -r /tmp/store.txt && \
    find /app/venv -type d -name tests -prune -exec rm -rf {} +
WORKDIR /app/rings
# Where each kind of thing lies: on the disk "disk" of this very container.
RUN swift-ring-builder account.builder create 4 1 1 && \
    swift-ring-builder account.builder add r1z1-127.0.0.1:6202/disk 1 && \
    swift-ring-builder account.builder rebalance && \
    swift-ring-builder container.builder create 4 1 1 && \
    swift-ring-builder container.builder add r1z1-127.0.0.1:6201/disk 1 && \
    swift-ring-builder container.builder rebalance && \
    swift-ring-builder object.builder create 4 1 1 && \
    swift-ring-builder object.builder add r1z1-127.0.0.1:6200/disk 1 && \
    swift-ring-builder object.builder rebalance

FROM ${BASE}
LABEL org.opencontainers.image.title="prophet-stack-store"
# Swift asks for its user by name, and reads /etc/swift, which is written at each start.
RUN groupadd --gid 10001 store && useradd --uid 10001 --gid store --home-dir /tmp --no-create-home store && \
    ln -s /tmp/swift /etc/swift && install -d -o store -g store /srv/node
COPY --from=build /app/venv /app/venv
COPY --from=build /app/rings /app/rings
COPY deploy/stack/store.py deploy/stack/healthy.py /app/
ENV PATH=/app/venv/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
VOLUME /srv/node
EXPOSE 8333
ENTRYPOINT ["python", "/app/store.py"]
