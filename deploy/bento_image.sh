#!/bin/sh
# Make an image of the newest Bento, by docker where an engine answers, else by podman. argv: the image's name; docker or
# podman, to choose oneself.
set -eu
image=$1
engine=${2:-}
[ -n "$engine" ] || if docker info >/dev/null 2>&1; then engine=docker; else engine=podman; fi
set -- --backend "$engine" --image-tag "$image"
if [ "$engine" = podman ]; then
    sh "$(dirname "$0")/base_image.sh"
    set -- "$@" --opt network=host # a machine may have no other network for podman
fi
exec bentoml containerize forecast_service:latest "$@"
