# Everything a newcomer runs. `make demo` and `make test` do all the set-up themselves.
PYTHON ?= python3
PORT ?= 8080
PROXIES ?= 0
VENV := .venv
RUN := PYTHONPATH=functions:host:. $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.PHONY: help setup demo up down clean test test-full test-vm check lint format bench synth layer

help:          ## What there is to run
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed 's/: .*## /\t/' | expand -t 14

setup: $(INSTALLED)          ## Virtual environment, Docker, toolkit
	@$(RUN) -m local.setup

$(INSTALLED): requirements.txt constraints.txt local/venv.sh
	@sh local/venv.sh "$(PYTHON)" $(VENV)
	@touch $@

demo: setup          ## One whole rental, played live (under 3 minutes after set-up)
	@$(RUN) -m local.demo

up: setup          ## The service on http://127.0.0.1:8080 (PORT= for another, PROXIES=1 for a proxy)
	@$(RUN) -m local.up --port $(PORT) --proxies $(PROXIES)

down: $(INSTALLED)          ## Stop what `make up` started
	@$(RUN) -m local.down

clean: $(INSTALLED)          ## Stop, and forget all local state
	@$(RUN) -m local.down --forget

test: setup          ## The tests (under 15 minutes)
	@$(RUN) -m tests.run

test-full: setup          ## All tests, the long ones too
	@$(RUN) -m pytest

test-vm: $(INSTALLED)          ## Hosts in guests with systemd: Debian 12, 13 and the next (about an hour)
	@$(RUN) -m tests.vm

check: lint test          ## The whole gate: format, lint, types, import contracts, tests

lint: $(INSTALLED)          ## Everything of the gate but the tests
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy .
	@PYTHONPATH=functions:host:. $(VENV)/bin/lint-imports

format: $(INSTALLED)          ## Put the code in shape
	@$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

bench: setup          ## Figures beside their targets, in one run
	@$(RUN) -m local.bench

synth: $(INSTALLED)          ## The CloudFormation templates, in cdk.out (STAGE=dev)
	@$(RUN) -m infra.synth -c stage=$(or $(STAGE),dev)

layer: $(INSTALLED)          ## The Lambda layer, in build/layer
	@$(RUN) -m infra.layer
