# Every target sets itself up first; `make help` lists them.
# Variables: HOST, PORT (serve), MLFLOW_TRACKING_URI (any), ARGS (train), PYTHON (which python3 makes .venv),
# IMAGE (what `image` makes), CONTAINERS (docker or podman; else docker where it runs).
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 3000
IMAGE ?= prophet-serving-bento
CONTAINERS ?=
# Tests wait for processes of their own half of their time, so several go at once; one file's share what they start.
AT_ONCE := -n logical --maxprocesses 4 --dist loadfile
BENCHMARKS := forecasting intervals solvers accuracy admission training scale serving soak
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ENGINES := $(VENV)/.engines
AUDIT := $(VENV)/audit
HOSTILE := $(VENV)/hostile
DEPLOY := $(VENV)/deploy
PREVIOUS := $(VENV)/previous
COMPOSE := $(VENV)/compose
PROGRAMS := $(VENV)/programs
CLIENT := clients/typescript
EXAMPLE := examples/nextjs
EXAMPLE_SOURCES := $(shell find $(EXAMPLE)/app $(EXAMPLE)/components $(EXAMPLE)/lib -type f) $(wildcard $(EXAMPLE)/*.ts $(EXAMPLE)/*.json)

# Where nothing may be kept compiled, each of a hundred processes compiles what it imports: MLflow takes 8 s instead of 3.
unexport PYTHONDONTWRITEBYTECODE

export BENTOML_DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export RAY_USAGE_STATS_ENABLED := 0

.DEFAULT_GOAL := help
.PHONY: help setup demo example train serve test test-next test-clients test-typescript test-slow proof test-engines hostile test-deploy up down check audit format openapi lock bento image bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with everything pinned

# Into an environment what a lock says: by uv where it can be had, for its speed; plain pip does the same by the same hashes.
define install
	@if [ -x $(BIN)/uv ]; then \
		$(BIN)/uv pip install --quiet --compile-bytecode --python $(1) --require-hashes -r $(2); \
	else \
		$(1)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $(2); \
	fi
endef

$(READY): requirements/dev.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "this project runs on Python 3.11; set PYTHON=/path/to/python3.11")'
	@echo "setting up $(VENV) from requirements/dev.txt"; $(PYTHON) -m venv $(VENV)
	@-$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(call install,$(VENV),requirements/dev.txt)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(ENGINES): $(READY) requirements/engines.txt
	@echo "adding requirements/engines.txt to $(VENV)"
	$(call install,$(VENV),requirements/engines.txt)
	@touch $@

demo: $(READY) ## train, register, promote and serve 60 real series, and print a forecast
	@$(BIN)/python examples/demo/run.py

example: $(READY) ## the Next.js example with all its parts on this machine; prints its address and two users
	@scripts/with-node.sh "the Next.js example" sh -c '$(MAKE) --no-print-directory $(EXAMPLE)/.next/.ready && exec $(BIN)/python -m examples.nextjs.local.run'

$(EXAMPLE)/.next/.ready: $(EXAMPLE_SOURCES) $(EXAMPLE)/node_modules/.ready $(EXAMPLE)/local/node_modules/.ready
	@echo "building $(EXAMPLE)"; $(BIN)/python -m examples.nextjs.local.build
	@touch $@

# The example installs a copy of the client as it is built here.
$(CLIENT)/dist/.ready: $(CLIENT)/node_modules/.ready $(wildcard $(CLIENT)/src/*.ts) docs/openapi.json
	@echo "building $(CLIENT)"; cd $(CLIENT) && { said=$$(npm run --silent build) || { echo "$$said"; exit 1; }; }
	@touch $@

$(EXAMPLE)/node_modules/.ready: $(EXAMPLE)/package-lock.json $(CLIENT)/dist/.ready
	@echo "installing $(EXAMPLE)"; cd $(EXAMPLE) && npm ci --loglevel=error --no-progress >/dev/null
	@touch $@

$(EXAMPLE)/local/node_modules/.ready: $(EXAMPLE)/local/package-lock.json
	@echo "installing $(EXAMPLE)/local"; cd $(EXAMPLE)/local && npm ci --loglevel=error --no-progress >/dev/null
	@touch $@

train: $(READY) ## prophetctl train; ARGS="--config job.yaml"
	$(BIN)/prophetctl train $(ARGS)

serve: $(READY) ## serve the champions on $(HOST):$(PORT)
	HOST=$(HOST) PORT=$(PORT) $(BIN)/prophetctl serve

# TypeScript first, for what it builds is held against the real service. ARGS are pytest's: with some, it and the example are left out.
# NEXT=no: somebody else runs test-next, as CI's lanes do.
test: $(READY) $(if $(ARGS),,test-typescript) ## all tests but the long proofs and the clusters
	$(BIN)/pytest $(if $(ARGS),,$(AT_ONCE)) -m "not slow and not engines and not hostile and not nextjs and not deploy" $(ARGS)
	$(if $(ARGS)$(filter no,$(NEXT)),,@$(MAKE) --no-print-directory test-next)

test-next: $(READY) ## the Next.js example end to end, in a real browser; needs Node 20.19 or later
	@scripts/with-node.sh "the Next.js example's tests" sh -c '$(MAKE) --no-print-directory $(EXAMPLE)/.next/.ready && $(BIN)/pytest -m nextjs $(ARGS)'

test-clients: $(READY) test-typescript ## the clients' tests alone, and both clients against the real service
	$(BIN)/pytest clients/python/tests tests/e2e/test_clients.py $(ARGS)

test-typescript: ## the TypeScript client's alone; needs Node 20.19 or later
	@scripts/with-node.sh "the TypeScript client's tests" sh -c '$(MAKE) --no-print-directory $(CLIENT)/node_modules/.ready && cd $(CLIENT) && npm test --silent'

$(CLIENT)/node_modules/.ready: $(CLIENT)/package-lock.json
	@echo "installing what builds $(CLIENT)"; cd $(CLIENT) && npm ci --loglevel=error --no-progress >/dev/null
	@touch $@

test-slow: $(READY) ## the long proofs: 200,000-draw intervals, the solver on every series, 20 kills of a job, the load test at full length
	$(BIN)/pytest -m "slow and not hostile and not deploy" --timeout 1800 $(ARGS)

proof: $(READY) ## what a service that breaks drops: 400 promotions and rollbacks, kills, a registry away for a minute; prints its figures
	$(BIN)/pytest -s --timeout 1800 tests/e2e/test_nothing_dropped.py tests/e2e/test_stopping.py $(ARGS)

test-engines: $(ENGINES) ## Ray and Spark (700 MB, and Java 17 or 21) on this machine, beside local processes
	$(BIN)/pytest -m engines $(ARGS)

# An environment of its own: schemathesis knows the service by HTTP alone, and it would be a plugin of every pytest here.
$(HOSTILE)/.ready: requirements/hostile.txt
	@$(PYTHON) -m venv $(HOSTILE)
	$(call install,$(HOSTILE),requirements/hostile.txt)
	@touch $@

hostile: $(READY) $(HOSTILE)/.ready ## 20,000 requests made up from the OpenAPI document, and a coverage-guided fuzz of the body's parser
	$(BIN)/pytest -m hostile --timeout 3600 $(ARGS)

# Environments of their own: checkov brings a hundred packages, and the other is one to be upgraded from.
$(DEPLOY)/.ready: requirements/deploy.txt
$(PREVIOUS)/.ready: requirements/previous.txt
$(COMPOSE)/.ready: requirements/compose.txt
$(DEPLOY)/.ready $(PREVIOUS)/.ready $(COMPOSE)/.ready:
	@echo "setting up $(@D) from $<"; $(PYTHON) -m venv $(@D)
	$(call install,$(@D),$<)
	@touch $@

# What is lacking is skipped by the tests, loudly.
$(PROGRAMS)/.ready: scripts/programs.sh
	@sh $< $(@D) || echo "$(PROGRAMS) lacks programs: they are had from Debian's packages"
	@touch $@

test-deploy: $(READY) $(DEPLOY)/.ready $(PREVIOUS)/.ready $(COMPOSE)/.ready $(PROGRAMS)/.ready ## what deploys: images, the stack, manifests by others' rules; CONTAINERS=docker: its images
	PATH=$(CURDIR)/$(PROGRAMS):$$PATH $(BIN)/pytest -s -m deploy --timeout 1800 $(ARGS)

up: $(COMPOSE)/.ready ## the whole stack in containers (docker compose, else podman): trains, and ends with a forecast
	@PYTHON=$(PYTHON) deploy/stack/up.sh

down: ## stop the stack and keep what it stored; ARGS=--volumes keeps nothing
	@deploy/stack/compose down $(ARGS)

check: $(READY) ## ruff, mypy --strict, import-linter, drift of docs and OpenAPI
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PYTHONPATH=src $(BIN)/python -m serving.openapi | diff -u docs/openapi.json - || { echo "docs/openapi.json is stale: make openapi"; exit 1; }

# An environment of its own: what audits packages is none of ours.
$(AUDIT)/.ready: requirements/audit.txt
	@$(PYTHON) -m venv $(AUDIT)
	$(call install,$(AUDIT),requirements/audit.txt)
	@touch $@

audit: $(AUDIT)/.ready ## known vulnerabilities of what is locked, by pip-audit; says so where nobody can be asked
	$(AUDIT)/bin/python scripts/audit.py

format: $(READY) ## let ruff format and sort
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

openapi: $(READY) ## write docs/openapi.json anew
	PYTHONPATH=src $(BIN)/python -m serving.openapi > docs/openapi.json

lock: $(READY) ## write requirements/*.txt anew from pyproject.toml
	PATH=$(BIN):$$PATH sh scripts/lock.sh

bento: $(READY) ## build the Bento
	$(BIN)/bentoml build

image: bento ## an image of the Bento, by docker or podman; IMAGE=name
	PATH=$(BIN):$$PATH deploy/bento_image.sh $(IMAGE)

bench: $(READY) ## all benchmarks, one after the other
	@$(MAKE) --no-print-directory --keep-going $(addprefix bench-,$(BENCHMARKS))

bench-%: $(READY) ## one benchmark, such as bench-serving
	$(BIN)/python -m benchmarks.$* $(ARGS)

clean: ## remove what was made, but not mlruns/
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis $(CLIENT)/node_modules $(CLIENT)/dist $(CLIENT)/.build
	rm -rf $(EXAMPLE)/.next $(EXAMPLE)/node_modules $(EXAMPLE)/local/node_modules
