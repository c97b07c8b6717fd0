#!/bin/sh
# Make an image of the newest Bento. argv: the image's name.
set -eu
here=$(dirname "$0")
image=$1
engine=$("$here/engine.sh")
set -- --backend "$engine" --image-tag "$image"
# What an image says of itself no Bento's settings can give it.
about=org.opencontainers.image
set -- "$@" --opt "label=$about.title=prophet-serving-bento" \
    --opt "label=$about.description=Forecasts of registered segments and of inline history, over HTTP." \
    --opt "label=$about.version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/../pyproject.toml")" \
    --opt "label=$about.revision=$(git -C "$here" rev-parse HEAD 2>/dev/null || echo unknown)"
"$here/base_image.sh"
if [ "$engine" = podman ]; then
    set -- "$@" --opt network=host # a machine may have no other network for podman
fi
exec bentoml containerize forecast_service:latest "$@"
