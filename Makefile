# The front door for people. Every target sets up its own environment.
SHELL := bash
VENV ?= .venv
PY := $(VENV)/bin/python
ARGS ?=

# Each of many processes, and each run of the tests, compiles our code otherwise.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test unit lint format chaos bench proto lock clean
.DEFAULT_GOAL := help

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## the environment in .venv; done by every other target
	@VENV=$(VENV) scripts/setup.sh

demo: setup ## four spoken calls at once, answered (ARGS="--provider openai")
	@$(VENV)/bin/reception demo $(ARGS)

test: setup ## everything, with coverage
	@VENV=$(VENV) scripts/test.sh $(ARGS)

unit: setup ## unit tests alone: no Ray, no sockets, under 10 s
	@$(PY) -m pytest -q tests/unit -m "not simulation" -n 2 --dist worksteal \
		--hypothesis-profile=quick -p no:anyio -p no:doctest -p no:junitxml $(ARGS)

lint: setup ## ruff, mypy, import-linter, bandit, deptry
	@VENV=$(VENV) scripts/lint.sh

format: setup ## what ruff can put right by itself
	@$(VENV)/bin/ruff check --fix --quiet .
	@$(VENV)/bin/ruff format .

chaos: setup ## every fault 20 times on three nodes with 30 calls; writes out/chaos.json
	@$(VENV)/bin/reception chaos --tries 20 --calls 30 --nodes 3 --keep out/chaos $(ARGS)

bench: setup ## the benchmarks; they gate nothing
	@$(PY) -m benchmarks $(ARGS)

proto: setup ## protobuf code from protos/*/v1/*.proto
	@$(PY) scripts/generate_protos.py

lock: setup ## requirements/*.txt from pyproject.toml (ARGS="--upgrade")
	@VENV=$(VENV) scripts/lock.sh $(ARGS)

clean: ## everything that was made, the environment too
	@rm -rf $(VENV) .venv-pipecat out var .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
