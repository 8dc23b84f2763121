# Skillyard's commands. `make` alone lists them.
#
# Each target does one job, sets up what it needs first, and is what CI runs as well.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
WORKERS ?= 2

.PHONY: help setup python testing demo serve test test-long check format lock reference bench bench-compare bench-baseline accept clean

help: ## List these commands
	@printf 'Skillyard: a self-hosted marketplace runtime for AI-agent skills.\n\nUsage: make COMMAND\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nNew here? Run `make demo`, then read docs/index.md.\n'

setup: ## Make .venv and a Docker Engine ready (every command does this first; quick when done)
	@scripts/setup

python: # the Python environment alone, for commands that need no engine
	@scripts/setup python

testing: # what tests need: all of it, and PostgreSQL's server programs
	@scripts/setup tests

demo: setup ## Tell the main story end to end, on a real Docker Engine; CHAPTER=name tells a part
	@$(BIN)/skillyard demo $(addprefix --chapter=,$(CHAPTER))

serve: setup ## Run the server (settings: docs/reference/settings.md)
	@$(BIN)/skillyard serve

test: testing ## Run the tests, two at a time; ARGS="tests/skills -k bundle" picks some, WORKERS=0 runs them one by one
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-long: testing ## Run the long tests (soaks, fresh machines): tests/long
	@$(BIN)/pytest tests/long $(ARGS)

check: python ## Lint, check formatting, types and layers
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: python ## Format the code and fix what can be fixed mechanically
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

lock: python ## Bring requirements.lock up to date with pyproject.toml; UPGRADE=1 takes newer releases too
	@scripts/lock $(if $(UPGRADE),--upgrade)

reference: python ## Write .env.example, docs/reference/settings.md and cli.md from the code
	@$(BIN)/python scripts/write_settings_reference.py
	@$(BIN)/python scripts/write_cli_reference.py
	@$(BIN)/python scripts/write_rules_file_reference.py
	@$(BIN)/python scripts/write_scan_rules_reference.py
	@$(BIN)/python scripts/write_scan_policy_reference.py

bench: setup ## Measure, and write benchmarks/results.json; ONLY=warm_call picks one
	@$(BIN)/python -m benchmarks $(ONLY)

bench-compare: setup ## Measure quickly; fail if a ratio is 1.5 times worse than benchmarks/baseline.json
	@$(BIN)/python -m benchmarks.compare $(ONLY)

bench-baseline: setup ## Make what is measured now the baseline; ONLY=warm_call that of one
	@$(BIN)/python -m benchmarks.compare --accept $(ONLY)

accept: testing ## Run acceptance stories; ONLY=main-job picks one, BREAK=1 breaks what it guards
	@$(BIN)/python -m tests.acceptance $(ONLY)

clean: ## Remove .venv and everything else these commands made in this folder
	rm -rf .venv .tools .bench .demo demo-output .accept .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find skillyard -name __pycache__ -prune -exec rm -rf {} +
