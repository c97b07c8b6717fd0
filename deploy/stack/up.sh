#!/bin/sh
# `make up`: secrets, images, the servers in their order, a training job, and a forecast at the end.
# Started again it makes nothing twice, but trains anew. Settings are variables: docs/compose.md.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
secrets=${SECRETS:-$PWD/deploy/secrets}
history=${HISTORY:-$PWD/deploy/history}
export SECRETS="$secrets" HISTORY="$history"
compose() { deploy/stack/compose "$@"; }
job() { compose --profile jobs run --rm -T --no-deps "$@"; }

"$python" deploy/stack/make_secrets.py "$secrets"
"$python" deploy/stack/example_history.py "$history"
deploy/base_image.sh
# One after the other, so that each finds what its Dockerfile shares with the one before.
COMPOSE_PARALLEL_LIMIT=1 deploy/stack/compose --profile jobs build
# Step by step, for podman before 4.6 cannot wait for health; each step waits for what it needs by itself.
compose up -d --no-deps postgres store
job migrate
job bucket
job catalog
compose up -d --no-deps mlflow forecast prometheus
job train
"$python" deploy/stack/ask.py "${FORECAST_URL:-http://127.0.0.1:${FORECAST_PORT:-3000}}" "$secrets/api_key"
