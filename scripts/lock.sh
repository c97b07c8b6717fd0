#!/bin/sh
# Lock files with hashes and without URLs, for every kind of installation; needs uv on PATH.
set -eu
compile() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "$@"
}
compile --extra dev pyproject.toml --output-file requirements/dev.txt
compile --extra serve --constraints requirements/dev.txt pyproject.toml --output-file requirements/serve.txt
compile --extra engines --constraints requirements/dev.txt pyproject.toml --output-file requirements/engines.txt
compile --extra train --constraints requirements/dev.txt pyproject.toml --output-file requirements/train.txt
compile benchmarks/peers/statsforecast.in --output-file requirements/peers.txt
echo "uv" | compile --output-file requirements/uv.txt -
echo "pip-audit" | compile --output-file requirements/audit.txt -
# atheris 3.1 has wheels for Python 3.12 and later alone.
printf 'atheris<3.1\nschemathesis\n' | compile --output-file requirements/hostile.txt -
printf 'checkov\nhadolint-bin\nkubernetes-validate\n' | compile --output-file requirements/deploy.txt -
# The minor versions before those of pyproject.toml: what they logged must still serve.
printf 'mlflow==3.16.1\nprophet==1.4.0\n' | compile --output-file requirements/previous.txt -
# The compose stack: MLflow's server, the object store, and what drives podman.
printf 'boto3\nhttptools\nmlflow\npsycopg[binary]\nuvloop\n' | compile --constraints requirements/dev.txt --output-file requirements/mlflow.txt -
echo "swift" | compile --constraints requirements/dev.txt --output-file requirements/store.txt -
echo "podman-compose" | compile --constraints requirements/dev.txt --output-file requirements/compose.txt -
