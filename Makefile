# Every habit is one verb. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Where a checkout has no own copy of the real scanner data, its tests skip and say so.
PYTEST_ARGS ?=
# More words for accuracy, reproducibility, bench, e.g. ARGS=--full or ARGS="--recipes fast-v1".
ARGS ?=

.PHONY: help setup fmt fmt-check lint types layers test test-slow e2e test-gpu accuracy yardstick reproducibility bench bench-store bench-methods bench-intake check try demo demo-down sync lock clean tools


help: ## list the verbs
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[1m%-15s\033[0m %s\n", $$1, $$2}'

setup: $(STAMP) ## build .venv with every command in .venv/bin

$(STAMP): requirements/dev.txt acquisition/pyproject.toml recon-image/pyproject.toml operator/pyproject.toml
	@tools/ensure-python "$(PYTHON)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pinned dependencies into $(VENV) (a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  -e acquisition -e recon-image -e operator
	@touch $(STAMP)
	@echo "ready: $(BIN)/qsm-recon --help"

fmt: setup ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fmt-check: setup
	$(BIN)/ruff format --check .

lint: setup ## ruff, every rule on; exceptions have their reason in pyproject.toml
	$(BIN)/ruff check .

types: setup ## mypy --strict
	$(BIN)/mypy

layers: setup ## which room may import which
	$(BIN)/lint-imports

test: setup ## the quick tests (minutes)
	$(BIN)/pytest -q -n auto $(PYTEST_ARGS)

test-slow: setup ## tests that take minutes each: whole chains on simulated heads
	$(BIN)/pytest -q -m "slow and not e2e" --timeout=1800 $(PYTEST_ARGS)

tools: ## install the real programs the e2e tests talk to (Debian, as root)
	@tools/ensure-programs

e2e: setup ## real programs: dciodvfy, Orthanc, the installed command line
	$(BIN)/pytest -q -m "e2e and not cluster" --ignore=tests/images -n 3 --dist loadfile --timeout=1800 $(PYTEST_ARGS)

test-gpu: setup ## the numeric tests on a CUDA device
	$(BIN)/pytest -q -m gpu $(PYTEST_ARGS)

check: fmt-check lint types layers test ## what every commit must pass

accuracy: setup ## errors against known truth -> docs/accuracy.md
	$(BIN)/python -m benchmarks.accuracy $(ARGS)

yardstick: setup ## another program's head and scorer (beside the checkout): error, time, memory -> docs/yardstick.md
	$(BIN)/python -m benchmarks.yardstick $(ARGS)

reproducibility: setup ## the same head measured differently -> docs/reproducibility.md
	$(BIN)/python -m benchmarks.reproducibility $(ARGS)

bench: setup ## seconds and memory per stage -> docs/performance.md
	$(BIN)/python -m benchmarks.bench --backend $(or $(BACKEND),cpu) $(ARGS)

bench-store: setup ## what keeping interim data costs, and what resuming saves -> docs/store-figures.md
	$(BIN)/python -m benchmarks.store $(ARGS)

bench-methods: setup ## each background removal and inversion alone, on the same heads -> docs/methods-figures.md
	$(BIN)/python -m benchmarks.methods $(ARGS)

bench-intake: setup ## from Orthanc's event to the QSMJob; 1,000 acquisitions in chaos -> docs/intake-figures.md
	PYTHONPATH=acquisition/src:recon-image/src:operator/src:. $(BIN)/python -m benchmarks.intake $(ARGS)

try: setup ## a simulated scan (or DICOM=folder) becomes a map, with a picture; no cluster (a minute)
	@tools/try "$(BIN)" "$(DICOM)"

demo: setup tools ## the whole loop: scanner, Orthanc, Kubernetes (or KUBECONFIG), PACS; a scan (or DICOM=folder) comes back as a map
	@tools/demo "$(BIN)" "$(DICOM)"

.PHONY: bench-demo
bench-demo: setup tools ## how long the demo takes, and the way of a scan through it -> docs/demo-figures.md (ARGS=--cold: a first run)
	$(BIN)/python -m benchmarks.demo $(ARGS)

demo-down: ## end the demo, leave nothing behind
	@if test -x $(BIN)/python; then $(BIN)/python -m tools.loop down; \
	else echo "nothing to end: no demo was started from this folder"; fi

sync: setup ## rewrite the documents that are generated from code (a test compares them)
	$(BIN)/python -c "from qsm_recon.report.schema import json_schema; print(json_schema(), end='')" > docs/report.schema.json
	$(BIN)/python -c "from qsm_recon.store.manifests import run_schema; print(run_schema(), end='')" > docs/run-manifest.schema.json
	$(BIN)/python -c "from qsm_recon.store.manifests import stage_schema; print(stage_schema(), end='')" > docs/stage-manifest.schema.json
	$(BIN)/python -c "from qsm_operator.metrics.table import markdown; print(markdown(), end='')" > docs/metrics.md
	$(BIN)/python -c "from qsm_recon.recipes.methods import markdown; print(markdown(), end='')" > docs/parameters.md
	$(BIN)/python -m tools.dashboards
	$(BIN)/python tools/sync_chart.py

lock: setup ## renew the hash-pinned requirements from the .in files
	@for name in recon-cpu recon-gpu operator image-build dev go; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header requirements/$$name.in -o requirements/$$name.txt; done

clean: ## remove what was built here
	rm -rf $(VENV) build demo-out bench-out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: test-chaos
test-chaos: setup ## kills, cuts and outages at random moments of real servers (20 minutes on two quiet cores)
	$(BIN)/pytest -q -m chaos --ignore=tests/images --timeout=1800 $(PYTEST_ARGS)

.PHONY: ceph-up ceph-down minio-up minio-down
ceph-up: ## start a Ceph with its S3 gateway on 127.0.0.1:7480 (Debian's packages; 15 s)
	@tests/servers/ceph up

ceph-down: ## stop it
	@tests/servers/ceph down

minio-up: ## start a MinIO on 127.0.0.1:9480; builds it the first time (6 CPU-minutes, Go)
	@tests/servers/minio/minio up

minio-down: ## stop it
	@tests/servers/minio/minio down

.PHONY: bench-operator
bench-operator: setup ## latency, memory, restarts, chaos of the operator -> docs/operator-performance.md
	$(BIN)/python -m benchmarks.operator $(ARGS)

.PHONY: chart
chart: setup ## lint the chart and test what it renders (needs the programs of make cluster-tools)
	$(BIN)/python tools/sync_chart.py --check
	$(BIN)/pytest -q tests/chart $(PYTEST_ARGS)

.PHONY: cluster-tools cluster-up cluster-down cluster-status test-cluster
cluster-tools: ## build the programs of a Kubernetes from Go modules, once (13 CPU-minutes)
	@tests/cluster/build

cluster-up: ## start a Kubernetes for tests; NODE=1 adds a real node (root)
	@tests/cluster/cluster up $(if $(NODE),--node)

cluster-down: ## stop it and leave nothing behind
	@tests/cluster/cluster down

cluster-status: ## what of it runs
	@tests/cluster/cluster status

test-cluster: setup ## the tests on a real API server: ours, or the one KUBECONFIG names
	$(BIN)/pytest -q -m cluster --ignore=tests/images --timeout=3600 $(PYTEST_ARGS)

.PHONY: images images-gpu test-images
images: setup ## container images as OCI archives in build/images, with sizes, digests, bills of materials (BASE=image@digest)
	@BASE="$(BASE)" tools/images $(BIN)/python operator recon-cpu

images-gpu: setup ## the same for the image with CuPy (large)
	@BASE="$(BASE)" tools/images $(BIN)/python recon-gpu

test-images: setup ## what is inside the images, and both of them on a real node (root)
	$(BIN)/pytest -q tests/images -m "e2e or cluster" --timeout=1800 $(PYTEST_ARGS)
