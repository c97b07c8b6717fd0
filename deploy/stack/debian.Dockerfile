# Debian's PostgreSQL and Prometheus, to stand in for their own images where no image registry can be reached
# (deploy/compose.host.yaml): the same users, folders and variables, as far as deploy/compose.yaml makes use of them.
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS postgres
# hadolint ignore=DL3008
RUN groupadd --gid 999 postgres && \
    useradd --uid 999 --gid postgres --home-dir /var/lib/postgresql --no-create-home postgres && \
    apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/lib/postgresql/* /etc/postgresql/* && \
    install -d -o postgres -g postgres /var/lib/postgresql/data
COPY deploy/stack/postgres-start /usr/local/bin/
USER 999:999
VOLUME /var/lib/postgresql/data
EXPOSE 5432
# A fast shutdown: by SIGTERM it would wait until its clients have gone.
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres-start"]
CMD ["postgres"]

FROM ${BASE} AS prometheus
# hadolint ignore=DL3008
RUN apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* && \
    install -d -o 65534 -g 65534 /prometheus
USER 65534:65534
VOLUME /prometheus
EXPOSE 9090
ENTRYPOINT ["prometheus"]
