# Every target does what it needs by itself. `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
TOOLS := .tools
UV := $(TOOLS)/bin/uv
STAMP := $(VENV)/.setup-stamp
export UV_PROJECT_ENVIRONMENT := $(VENV)
# the interpreter that was asked for, never one that uv downloads
export UV_PYTHON_DOWNLOADS := never
# a sidecar is started hundreds of times by the tests, and must not be compiled each time
export UV_COMPILE_BYTECODE := 1
unexport VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo kube test e2e image chart check format bench soak docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV): Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "SpeechPool needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

$(STAMP): $(UV) pyproject.toml uv.lock
	@$(UV) sync --frozen --quiet --all-extras --python $(PYTHON)
	@touch $@

setup: $(STAMP) ## make .venv with everything from the lock file

demo: $(STAMP) ## hear speech made by a warm client, in under a minute
	@$(BIN)/python examples/demo.py

kube: $(STAMP) ## build the Kubernetes that `make e2e` runs on, once a machine
	@$(BIN)/python tests/cluster/build.py > /dev/null

TEST_EXAMPLES ?= 1
export TEST_EXAMPLES
test: $(STAMP) ## run every test that needs no Kubernetes
	@$(BIN)/python -m tests.integration.browser
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder tests/integration tests/contract tests/unit

e2e: kube ## run the tests on a real Kubernetes
	@$(BIN)/python -m tests.cluster.node
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/e2e

REGISTRY ?=
BASE ?=
BUILD_BASE ?=
EXTRAS ?=
CA ?=
IMAGE_FLAGS ?=
TARGETS ?= sidecar operator azure-emulator
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
TAG ?= $(VERSION)
REVISION ?= $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null)
# without the password that a clone's address may hold
SOURCE ?= $(shell git config --get remote.origin.url 2>/dev/null | sed -nE 's|^(https?://)([^/@]*@)?|\1|p')
LICENSES = Apache-2.0 AND LGPL-2.1-or-later$(if $(filter local codecs,$(EXTRAS)), AND GPL-3.0-or-later)$(if $(filter azure,$(EXTRAS)), AND MPL-2.0 AND LicenseRef-Microsoft-Cognitive-Services-Speech-SDK)
BUILDER ?=
# docker needs BuildKit for the Dockerfile's secret; a docker that has none of it fails already at `build --help`
image: ## build the images TARGETS by docker, podman or buildah, whichever works here (docs/images.md)
	@test -z "$(CA)" || test -r "$(CA)" || { echo "CA=$(CA) is no file that can be read"; exit 1; }
	@export DOCKER_BUILDKIT=1; builder="$(BUILDER)"; \
	for each in $(if $(BUILDER),,docker podman buildah); do \
	  if reason=$$( { $$each info && $$each build --help; } 2>&1 >/dev/null ); then builder=$$each; break; fi; \
	  reasons="$$reasons$$(printf '\n%s: %s' $$each "$$reason")"; done; \
	test -n "$$builder" || { printf 'make image needs docker with BuildKit, podman or buildah; none of them works here:%s\n' "$$reasons"; exit 1; }; \
	for target in $(TARGETS); do echo "building $(REGISTRY)speechpool/$$target:$(TAG) by $$builder"; \
	  $$builder build --target $$target --tag $(REGISTRY)speechpool/$$target:$(TAG) $(image_words) $(IMAGE_FLAGS) . || exit 1; done
ca_secret = --secret id=ca,src=$(CA)
image_label = $(if $2,--label "org.opencontainers.image.$1=$2")
image_words = $(call image_label,version,$(VERSION)) $(call image_label,revision,$(REVISION)) $(call image_label,source,$(SOURCE)) \
	$(if $(BASE),--build-arg BASE=$(BASE)) $(if $(BUILD_BASE),--build-arg BUILD_BASE=$(BUILD_BASE)) \
	$(if $(EXTRAS),--build-arg EXTRAS="$(EXTRAS)" --build-arg LICENSES="$(LICENSES)") \
	$(foreach name,PIP_INDEX_URL UV_DEFAULT_INDEX,$(if $($(name)),--build-arg $(name))) $(if $(CA),$(ca_secret))

chart: $(STAMP) ## lint the Helm chart and package it into build/
	$(BIN)/python charts/make.py --check
	@helm=$$($(BIN)/python -m tests.cluster.tools) && $$helm lint --strict --quiet charts/speechpool && $$helm package --destination build charts/speechpool

check: $(STAMP) ## format, lint, types, import contracts, lock file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(UV) lock --check --quiet

bench: $(STAMP) ## measure everything and rewrite docs/benchmarks.md
	@for part in benchmarks/pools_*.py benchmarks/sidecar_*.py benchmarks/azure_*.py benchmarks/operator_*.py; do echo "== $$part"; PYTHONPATH=. $(BIN)/python $$part || exit 1; done
	@$(BIN)/python benchmarks/report.py

SOAK_MINUTES ?= 3
SOAK_ENGINE ?= local
soak: $(STAMP) ## mixed load for SOAK_MINUTES (3) on SOAK_ENGINE (local or azure): steady memory, no cold call
	@PYTHONPATH=. $(BIN)/python benchmarks/soak.py --minutes $(SOAK_MINUTES) --engine $(SOAK_ENGINE)

docs: $(STAMP) ## rewrite the settings tables and the CRD from the settings model
	$(BIN)/python -m speechpool.config.table --write README.md
	$(BIN)/python -m speechpool.config.table --full --write docs/settings.md
	$(BIN)/python -m speechpool.config.table --azure --write docs/azure.md
	$(BIN)/python -m speechpool_operator.crd --write
	$(BIN)/python charts/make.py

format: $(STAMP) ## rewrite the files as `make check` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove what the other targets made
	rm -rf $(VENV) $(TOOLS) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
