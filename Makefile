# Two commands do everything: `make demo` and `make test`. Each makes what it needs first; the machine
# only has to have Python 3.11 or later, make and git.

# The first interpreter that is new enough; `make PYTHON=/path/to/python3.12 test` takes another.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

VENV := .venv
VENV_PROTO := .venv-proto
BIN := $(VENV)/bin
# Each stamp says: this environment holds what the files it depends on ask for.
ENVIRONMENT := $(VENV)/.made
RUNTIME := $(VENV)/.runtime
DEVELOPMENT := $(VENV)/.development
GENERATOR := $(VENV_PROTO)/.generator

PROJECTS := protos agent collector client
CHECKED := agent collector client protos/src tests benchmarks packaging/deb
# Bytecode of our own packages, which an editable installation leaves out: tests, demo and benchmarks start
# some thousand processes, and the agent's parser, which writes nothing, else compiles itself at each start.
COMPILE = $(BIN)/python -m compileall -q $(PROJECTS:%=%/src)
# Images for containers often set it. Then each test process compiles pytest's plug-ins for itself.
unexport PYTHONDONTWRITEBYTECODE
PIP := -m pip --disable-pip-version-check install --quiet --progress-bar off

# Options: `make demo ONCE=1`, `make test PYTEST="tests/agent -x"`, `make bench ROOT=/usr ROUNDS=3 ONLY=help`.
ONCE ?=
PYTEST ?=
ROOT ?= /
ROUNDS ?= 5
ONLY ?=
IDLE ?= 600
SECONDS ?= 300
EXAMPLES ?= 200
TARGETS ?=
AGENTS ?= 5000
WINDOW ?= 120
MINUTES ?= 32
OPERATIONS ?= 1000
PLOT ?=
CERTIFICATES ?= 100000
DATABASE ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint types proto proto-check unit coverage bench bench-query fuzz api-fuzz fleet evil soak churn day faults-long postgresql packages pages long machine clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## a collector, five agents and what they find (ONCE=1: show it and end)
	@$(COMPILE)
	@PYTHONPATH=tests $(BIN)/python -m demo $(if $(ONCE),--once)

test: lint types proto-check unit ## lint, types, import contracts, protocol, tests

lint: $(DEVELOPMENT) ## ruff, formatting, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(DEVELOPMENT) ## mypy, strict
	$(BIN)/mypy $(CHECKED)

proto-check: $(GENERATOR)
	$(VENV_PROTO)/bin/python protos/generate.py --check

proto: $(GENERATOR) ## generate the protocol's Python code again
	$(VENV_PROTO)/bin/python protos/generate.py

# Three processes on two cores: the tests start servers and agents of their own, and wait a third of the
# time for them and their timers. Each more costs half a minute of a core, for it collects all tests anew.
# Who is done takes from the others, since a few files hold the long tests.
unit: $(DEVELOPMENT) ## pytest (PYTEST=... adds options)
	@$(COMPILE)
	$(BIN)/python -m pytest -n 3 --dist worksteal $(PYTEST)

# Each page wide and on a phone, light and dark, as PNG: to be looked at after a change of a page.
pages: $(DEVELOPMENT) ## draw every page into build/pages, in Chromium
	@mkdir -p build/pages
	KEYCENSUS_PICTURES=build/pages $(BIN)/python -m pytest -q -m "long or not long" -k barrier tests/browser $(PYTEST)

# Which lines no test reaches. Apart from the tests: tracing takes as long as all of them again.
coverage: $(DEVELOPMENT) ## pytest with coverage, at least 85 %
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report= $(PYTEST)
	$(BIN)/python -m coverage report --fail-under=85

# What `make test` samples: 500 damaged states, an outage with a sweep an hour, the model for minutes, a
# hundred kills, a thousand of one image.
faults-long: $(DEVELOPMENT) ## the fault tests of state and report in full (an hour)
	KEYCENSUS_SEEDS=500 KEYCENSUS_SWEEPS_A_DAY=24 KEYCENSUS_EXAMPLES=500 KEYCENSUS_KILLS=100 KEYCENSUS_COPIES=1000 KEYCENSUS_HOSTS=1000 \
		$(BIN)/python -m pytest -q -m "long or not long" tests/faults/test_state_faults.py \
		tests/faults/test_long_outage.py tests/faults/test_two_sides.py \
		tests/end_to_end/test_crashes.py tests/end_to_end/test_image.py \
		tests/collector/intake/test_clones.py tests/faults/test_several_collectors.py $(PYTEST)

# What `make test` asks of SQLite alone: inventory, fold, time lines, usages, known hosts.
postgresql: $(DEVELOPMENT) ## the collector's tests on both databases, in full
	KEYCENSUS_POSTGRESQL=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal tests/collector $(PYTEST)

bench: $(DEVELOPMENT) ## the budgets as ratios (ROOT=/ ROUNDS=5 IDLE=600 ONLY="scan idle" PLOT=)
	@$(COMPILE)
	@PYTHONPATH=tests:packaging/deb $(BIN)/python -m benchmarks.run --root '$(ROOT)' --rounds $(ROUNDS) \
		--idle $(IDLE) $(ONLY:%=--only %) $(if $(PLOT),--plot '$(PLOT)')

bench-query: $(DEVELOPMENT) ## first pages of queries over 100,000 certificates (CERTIFICATES= DATABASE=file or postgresql://… PAGES=1: of pages over HTTP)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.$(if $(PAGES),pages,inventory) --certificates $(CERTIFICATES) $(if $(DATABASE),--database '$(DATABASE)')

# What it finds stays in the directory that it names; put the input into tests/fuzz/corpus/TARGET with the fix.
fuzz: $(DEVELOPMENT) ## fuzz each format of the parser with atheris (SECONDS=300 in all, TARGETS="pem zip")
	@PYTHONPATH=tests $(BIN)/python -m fuzz --seconds '$(SECONDS)' $(TARGETS)

api-fuzz: $(DEVELOPMENT) ## the REST interface against its own description, by schemathesis (EXAMPLES=200 of each operation)
	@PYTHONPATH=tests $(BIN)/python -m fakes.api_fuzz --examples $(EXAMPLES)

# Long forms of the fault tests; they print their figures and write plots (PLOT=file.svg).
fleet: $(DEVELOPMENT) ## 5,000 simulated agents lose their collector and come back (AGENTS= WINDOW= PLOT= POSTGRESQL=1)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.fleet --agents $(AGENTS) --window $(WINDOW) $(if $(PLOT),--plot '$(PLOT)') $(if $(POSTGRESQL),--postgresql)

evil: $(DEVELOPMENT) ## a hostile agent beside 100 good ones: their p99 with it and without
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.fleet --evil --agents 100 --seconds 120

soak: $(DEVELOPMENT) ## half an hour of reconnects: slopes of memory, descriptors, threads (MINUTES= PLOT=)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.soak --minutes $(MINUTES) $(if $(PLOT),--plot '$(PLOT)')

packages: $(DEVELOPMENT) ## the agent's Debian package, into dist/
	@PYTHONPATH=packaging/deb $(BIN)/python -m keycensus_deb

# What `make test` leaves out, since CI has 25 minutes: long partitions, roll-overs, churn, copies of an image,
# reconnects, and a whole Debian 12 that is made, on which the package is installed, booted, upgraded and purged.
long: $(DEVELOPMENT) ## the tests that take minutes
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m long $(PYTEST)

machine: $(DEVELOPMENT) ## the Debian package on a Debian 12 of its own
	$(BIN)/python -m pytest -q -m long tests/packaging/test_debian_machine.py $(PYTEST)

# An agent's watches against a disk that changes: what tests/end_to_end/test_churn.py does in short.
churn: $(DEVELOPMENT) ## 1,000 random changes, with an overflow, with 50 watches; one file 1,000 times a second (OPERATIONS=)
	@for way in plain overflow limit; do \
		PYTHONPATH=tests $(BIN)/python -m benchmarks.churn --way $$way --operations $(OPERATIONS) || exit 1; done
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.churn --way rewrite --minutes 1

day: $(DEVELOPMENT) ## a day's changes and sweeps in minutes: slopes of an agent's memory, threads, descriptors (MINUTES=)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.churn --way day --minutes $(MINUTES)

clean: ## remove environments, caches and the demo's files
	rm -rf $(VENV) $(VENV_PROTO) demo-work dist build .coverage .coverage.* \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments -----------------------------------------------------------------------------------

define CHECK_PYTHON
	@if [ -z "$(PYTHON)" ]; then \
		echo "keycensus needs Python 3.11 or later, and none was found on PATH." >&2; \
		echo "Install one (Debian, Ubuntu: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
		exit 2; \
	fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "keycensus needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) can't make virtual environments: its venv or ensurepip module is missing." >&2; \
		echo "Install it first (Debian, Ubuntu: apt install python3-venv)." >&2; exit 2; }
endef

$(ENVIRONMENT):
	$(CHECK_PYTHON)
	@echo "== making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(RUNTIME): $(ENVIRONMENT) constraints.txt $(PROJECTS:%=%/pyproject.toml)
	@echo "== installing keycensus and what it needs (once; a minute or so)"
	@$(BIN)/python $(PIP) -c constraints.txt hatchling editables
	@$(BIN)/python $(PIP) -c constraints.txt --no-build-isolation $(PROJECTS:%=-e ./%)
	@touch $@

$(DEVELOPMENT): $(RUNTIME) requirements-dev.txt
	@echo "== installing what tests and lint need (once; a minute or so)"
	@$(BIN)/python $(PIP) -r requirements-dev.txt
	@touch $@

# Apart from the rest: the generator wants an older grpcio than the one that runs.
$(GENERATOR): protos/requirements-generate.txt
	$(CHECK_PYTHON)
	@echo "== making $(VENV_PROTO) for the protocol's code generator"
	@$(PYTHON) -m venv $(VENV_PROTO)
	@$(VENV_PROTO)/bin/python $(PIP) -r protos/requirements-generate.txt
	@touch $@
