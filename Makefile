# `make demo` and `make test` need git, make and python3 >= 3.11 with venv.
PYTHON ?= python3
BIN := .venv/bin
STAGES := primary secondary primary-token primary-admin secondary-token secondary-admin
# Which stage `make package`, `deploy`, `logs` and `invoke` are for.
STAGE ?=

INSTALL := install -q --disable-pip-version-check
# For every Python from 3.11 on and every platform; what is pinned stays, unless UPGRADE says other.
# Extras stay: pip, asked for hashes, does not take the pin of `coverage` for `coverage[toml]`.
UPGRADE ?=
PIN = $(BIN)/uv pip compile -q --no-config --universal --generate-hashes --no-strip-extras \
	--custom-compile-command 'make pins' $(UPGRADE) --group

.DEFAULT_GOAL := help
.PHONY: help install pins demo test unit bench bench-report check lint types imports templates up down env status clean \
	package deploy logs invoke example

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { gsub(/\$$\$$/, "$$", $$2); printf "  make %-12s %s\n", $$1, $$2 }' \
		$(MAKEFILE_LIST)

install: .venv/.installed .venv-cloud/.installed ## Install the dependencies into .venv and .venv-cloud

# Nothing is installed that is not the very file whose hash is in the repository: the packages of
# the index by their hashes, what builds the two packages of this project among them.
.venv/.installed: requirements-dev.txt pyproject.toml verifier/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "This needs Python 3.11 or newer; say which with make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "Installing the development environment into .venv …" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip $(INSTALL) --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip $(INSTALL) --no-deps --no-build-isolation -e . -e ./verifier
	@touch $@

.venv-cloud/.installed: local/requirements.txt
	@echo "Installing the local cloud into .venv-cloud …" >&2
	@test -x .venv-cloud/bin/python || $(PYTHON) -m venv .venv-cloud
	@.venv-cloud/bin/python -m pip $(INSTALL) --require-hashes -r local/requirements.txt
	@touch $@

pins: .venv/.installed ## Write the pins with hashes from pyproject.toml; UPGRADE=--upgrade takes newer ones
	@$(PIN) lambda --output-file requirements.txt
	@$(PIN) development --constraint requirements.txt --output-file requirements-dev.txt
	@$(PIN) local-cloud --output-file local/requirements.txt
	@$(PIN) benchmark-cold --output-file benchmarks/requirements-lambda.txt
	@$(PIN) benchmark-peers --constraint requirements.txt --output-file benchmarks/requirements-peers.txt
	@$(PIN) benchmark-plots --output-file benchmarks/requirements-plots.txt
	@$(PIN) envoy --output-file tests/envoy/requirements.txt

demo: install ## Enroll, exchange, lose a Region, exchange again: on one machine
	@$(BIN)/python -m local.demo

up: install ## Start the local two-Region cloud and deploy both stages to it
	@$(BIN)/python -m local up

down: ## Stop the local cloud
	@test ! -x $(BIN)/python || $(BIN)/python -m local down

env: .venv/.installed ## Print what surrogatectl and the AWS CLI need: eval "$$(make -s env)"
	@$(BIN)/python -m local env

status: .venv/.installed ## Show what of the local cloud runs where
	@$(BIN)/python -m local status

example: .venv/.installed ## Serve the example backend beside the local cloud
	@$(BIN)/python -m examples.protected_api

# The end-to-end tests wait more than they compute: more processes than processors, each with a local
# cloud of its own. Without -n, everything runs in one process and says the same.
TEST_PROCESSES ?= 4

test: install ## Run all tests, in TEST_PROCESSES (4) processes
	@$(BIN)/pytest tests -n $(TEST_PROCESSES)

# Schemathesis computes its examples while tests are collected, whether they are run or not.
unit: .venv/.installed ## Run the quick unit tests only (seconds)
	@$(BIN)/pytest tests/unit tests/verifier -m "not slow" -n 2 \
		-p no:schemathesis --ignore-glob='*/test_schemathesis.py'

bench: .venv/.installed ## Run the benchmarks, or some: make bench ONLY="warm junk"; QUICK=1 only tries them
	@$(BIN)/python -m benchmarks $(ONLY) $(if $(QUICK),--quick)

bench-report: .venv/.installed ## Generate the pages on performance from the stored results
	@$(BIN)/python -m benchmarks.report

check: lint types imports templates ## Format, lint, types, import contracts, templates

lint: .venv/.installed
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: .venv/.installed
	@$(BIN)/mypy

imports: .venv/.installed
	@$(BIN)/lint-imports --no-logo

templates: .venv/.installed ## Check with cfn-lint what `chalice package` prints for each stage
	@$(BIN)/python -m deployment templates
	@for stage in $(STAGES); do \
		rm -rf build/templates/$$stage && mkdir -p build/templates && \
		$(BIN)/chalice package --stage $$stage --merge-template build/merged/$$stage.json \
			build/templates/$$stage >/dev/null && \
		$(BIN)/cfn-lint build/templates/$$stage/sam.json && echo "$$stage: template is valid" || exit 1; \
	done
	@$(BIN)/cfn-lint infra/*.yaml && echo "infra: templates are valid"

package: .venv/.installed ## Make the zip and the template of a stage: make package STAGE=primary-token
	@$(BIN)/python -m deployment package "$(STAGE)"

deploy: .venv/.installed ## Make the same zip and let Chalice deploy it: make deploy STAGE=primary-token
	@$(BIN)/python -m deployment deploy "$(STAGE)"

logs: .venv/.installed ## Print what a stage's function has logged: make logs STAGE=primary-token
	@$(BIN)/python -m deployment logs "$(STAGE)"

invoke: .venv/.installed ## Invoke a stage's function with the event on standard input
	@$(BIN)/python -m deployment invoke "$(STAGE)"

clean: down ## Remove what was built
	rm -rf build local/.state .mypy_cache .ruff_cache .pytest_cache
