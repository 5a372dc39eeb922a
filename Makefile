# The only entry: `make` sets up what each target needs. It wants Python 3.11+, make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= auto

# Wheels only: building from source would fetch build tools that no hash covers.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --only-binary :all:

.DEFAULT_GOAL := help
.PHONY: help setup paper test check format lint types imports deploy-lint coverage sim-check sim soak fuzz bench lock audit sbom pin-images clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(READY) ## create .venv from the hash-locked set

# A stamp, so that only a changed lock or project file installs again.
$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fundarb needs Python 3.11 or newer; found $$($(PYTHON) --version 2>&1). Try: make setup PYTHON=python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked set into $(VENV) (about a minute)"
	@sed -n '/^pip==/,/# via/p' requirements-dev.lock > $(VENV)/pip.lock
	@$(PIP) --require-hashes -r $(VENV)/pip.lock
	@$(PIP) --require-hashes -r requirements-dev.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

paper: $(READY) ## paper trading; options by ARGS="--for 24h --speed max"
	$(BIN)/fundarb paper $(ARGS)

test: $(READY) ## all tests, with coverage. One test: make test ARGS="-k name"
	tools/install_prometheus.sh
	tools/install_chromium.sh
	$(BIN)/python -m pytest -n $(JOBS) -q --cov --cov-report= $(ARGS)

check: lint types imports deploy-lint test coverage ## everything that must pass before a change is proposed

format: $(READY) ## rewrite the code in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

# The units are judged by a test, since systemd-analyze is not on every machine.
deploy-lint: $(READY)
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml deploy/compose.testnet.yaml
	$(BIN)/compose-lint --quiet deploy/compose.yaml
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/kubernetes-validate --strict --quiet deploy/kubernetes/fundarb.yaml
	$(BIN)/python tools/pin_images.py --which

# Branch coverage of what decides over money: each of these on its own, so that none hides another.
GATED := 'execution/ledger/*' 'execution/risk/*' execution/pairs.py execution/orders.py

coverage: $(READY)
	@for files in $(GATED); do \
	  echo "branch coverage of $$files"; \
	  $(BIN)/coverage report --include="$$files" --show-missing --skip-covered --fail-under=95 || exit 1; \
	done

# The world is in memory and on virtual time; docs/reliability.md says what each of these shows.
CAMPAIGN := $(BIN)/python -m tests.world.campaign

sim-check: $(READY) ## the seeded simulations that every change has to survive (about twelve minutes)
	$(CAMPAIGN) --seeds 250 --floor 10
	$(CAMPAIGN) --seeds 20 --mix calm
	$(CAMPAIGN) --seeds 20 --mix lossy
	$(CAMPAIGN) --seeds 20 --mix taken
	$(CAMPAIGN) --seeds 20 --venue alone
	$(CAMPAIGN) --seeds 20 --venue mirror
	$(CAMPAIGN) --seeds 20 --venue cex --hours 0.5
	$(BIN)/python -m tests.world.determinism --seeds 100
	$(BIN)/python -m tests.world.kills
	$(BIN)/python -m tests.world.mutants
	$(BIN)/python -m tests.world.drills --seeds 4

sim: $(READY) ## run one seed again: make sim SEED=17
	$(CAMPAIGN) --seed $(or $(SEED),0)

soak: $(READY) ## new seeds for so long, added to what FILE has: make soak MINUTES=60 FILE=soak.json
	$(CAMPAIGN) --minutes $(or $(MINUTES),10) --into $(or $(FILE),soak.json)

fuzz: $(READY) ## every parser on fifty times as much garbage, new each time
	$(BIN)/python -m pytest -q tests/fuzz --hypothesis-profile=long --timeout 0 $(ARGS)

bench: $(READY) ## measure; figures depend on the machine, ratios less so
	$(BIN)/python -m pytest -q -s -o python_files='bench_*.py' --timeout 900 tests/benchmarks $(ARGS)

# Hashes of every file of every release, no index address, nothing younger than a week (pyproject).
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: $(READY) ## resolve the lock files again; UPGRADE=--upgrade takes newer releases
	$(LOCK) $(UPGRADE) -o requirements.lock pyproject.toml
	$(LOCK) $(UPGRADE) --extra sweep -c requirements.lock -o requirements-sweep.lock pyproject.toml
	$(LOCK) $(UPGRADE) --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml

LOCKED := requirements.lock requirements-sweep.lock requirements-dev.lock

audit: $(READY) ## known vulnerabilities of what is locked; asks api.osv.dev. One that does not matter: ARGS="--ignore-vuln ID"
	$(BIN)/pip-audit -s osv --disable-pip --no-deps --progress-spinner off $(LOCKED:%=-r %) $(ARGS)

sbom: $(READY) ## bill of materials of what runs, as CycloneDX, into FILE (sbom.json)
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible \
	  --of JSON -o $(or $(FILE),sbom.json)

pin-images: $(READY) ## pin the base images of deploy/ by digest; wants docker with buildx, and the registries
	$(BIN)/python tools/pin_images.py

clean: ## remove what the targets made; the state directory stays
	rm -rf $(VENV) dist build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
