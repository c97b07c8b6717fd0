#!/bin/sh
# Which program runs containers here: what CONTAINERS names, else docker where an engine answers, else podman.
set -eu
if [ -n "${CONTAINERS:-}" ]; then
    echo "$CONTAINERS"
elif docker info >/dev/null 2>&1; then
    echo docker
else
    echo podman
fi
