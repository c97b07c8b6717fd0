#!/bin/sh
# Make an image of the newest Bento, by docker where an engine answers, else by podman. argv: the image's name; docker or
# podman, to choose oneself.
set -eu
here=$(dirname "$0")
image=$1
engine=${2:-}
[ -n "$engine" ] || if docker info >/dev/null 2>&1; then engine=docker; else engine=podman; fi
set -- --backend "$engine" --image-tag "$image"
# What an image says of itself no Bento's settings can give it.
about=org.opencontainers.image
set -- "$@" --opt "label=$about.title=prophet-serving-bento" \
    --opt "label=$about.description=Forecasts of registered segments and of inline history, over HTTP." \
    --opt "label=$about.version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/../pyproject.toml")" \
    --opt "label=$about.revision=$(git -C "$here" rev-parse HEAD 2>/dev/null || echo unknown)"
sh "$here/base_image.sh" "$engine"
if [ "$engine" = podman ]; then
    set -- "$@" --opt network=host # a machine may have no other network for podman
fi
exec bentoml containerize forecast_service:latest "$@"
