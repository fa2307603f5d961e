# Earnest on one machine. Needs python3 (3.11 or newer) and make; everything else is installed into .venv.

PORT ?= 8000
STATE_DIR ?= .local
export PORT STATE_DIR FROM TO
# Compiled once and read from then on: many machines switch this off, and every start takes seconds more.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
LOCK := requirements-dev.txt
READY := $(VENV)/.installed
CODE := chalicelib local deploy tests $(wildcard app.py benchmarks)

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-core check format coverage simulate surge mutants killrate bench reconcile verify package lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: $(READY) ## Start API, pages, sandbox and jobs on PORT (8000); data stays in STATE_DIR (.local)
	@exec $(PYTHON) -m local

test: check ## Run all checks and the quick tests (ARGS="-k money" for some)
	@$(PYTHON) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-all: test ## The same, then the rest: whole products, all engines, all guides
	@$(PYTHON) -m pytest --rest -n $(WORKERS) --dist worksteal $(ARGS)

test-core: $(READY) ## Test the rules alone, in one process and without AWS
	@$(PYTHON) -m pytest -n 0 tests/core $(ARGS)

check: $(READY) ## Format, lint, types, import rules
	@$(BIN)/ruff format --check --quiet $(CODE) || { echo "run: make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/mypy $(CODE)
	@$(BIN)/lint-imports --no-logo

format: $(READY) ## Rewrite the code in the house format
	@$(BIN)/ruff check --fix --quiet $(CODE) || true
	@$(BIN)/ruff format $(CODE)

coverage: $(READY) ## Branch coverage of core and flows by the tests
	@$(PYTHON) -m pytest --cov --cov-report=term-missing:skip-covered

WORKERS ?= 2
HISTORIES ?= 1000
SEED ?= 1

simulate: $(READY) ## Play HISTORIES (1000) from SEED (1) against the real handlers, under faults
	@$(PYTHON) -m tests.simulator --histories $(HISTORIES) --seed $(SEED)

ORDERS ?= 20000
SECONDS_LONG ?= 180
UNITS ?= 5000

surge: $(READY) ## Play a launch rush: ORDERS (20000) in SECONDS_LONG (180) on UNITS (5000), and print its table
	@$(PYTHON) -m tests.simulator.surge --orders $(ORDERS) --seconds $(SECONDS_LONG) --units $(UNITS)

mutants: $(READY) ## Plant each known mistake and count the histories until it is noticed
	@$(PYTHON) -m tests.simulator.mutants $(ARGS)

killrate: $(READY) ## Plant each known mistake and name the quick test that notices it (ARGS="--only text")
	@$(PYTHON) -m tests.kill_rate $(ARGS)

bench: $(READY) ## Measure reconciliation: lines a second, memory, resumed after a kill
	@$(PYTHON) -m benchmarks

reconcile: $(READY) ## Compare the running service's books with its provider's (FROM=, TO=)
	@$(PYTHON) -m local.reconcile

verify: $(READY) ## Compute a refund's proof again, offline (PROOF=file)
	@$(PYTHON) -m local.verify $(PROOF)

package: $(READY) ## Build and check what is deployed, in out/
	@$(PYTHON) -m deploy.package

lock: $(READY) ## Resolve requirements-dev.in into the hash-locked file (ARGS=--upgrade for newer ones)
	@$(BIN)/uv pip compile requirements-dev.in --output-file $(LOCK) $(ARGS) --generate-hashes --python-version 3.11 \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet

clean: ## Remove what was installed and built (the data in STATE_DIR stays)
	@rm -rf $(VENV) out .chalice/deployments .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The lock file's own descriptor is held while installing, so two makes started at once install once.
# The installer comes by pip with its locked hash; it is much faster than pip, which stays as the fallback.
$(READY): $(LOCK)
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Earnest needs python3 3.11 or newer; this is `python3 --version 2>&1`." >&2; exit 1; }
	@exec 9<$(LOCK); python3 -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'; \
	if [ $(READY) -nt $(LOCK) ]; then exit 0; fi; \
	set -e; exec >&2; \
	echo "Making $(VENV)"; python3 -m venv --clear $(VENV); \
	awk '/^uv==/ { on = 1 } on { print; if ($$0 !~ /\\$$/) exit }' $(LOCK) > $(VENV)/uv.txt; \
	echo "Installing `grep -c == $(LOCK)` packages"; \
	{ $(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(VENV)/uv.txt && \
	  $(BIN)/uv pip install --quiet --compile-bytecode --system-certs --python $(PYTHON) --require-hashes --requirement $(LOCK); } || \
	{ echo "Trying again with pip, which takes a few minutes"; \
	  $(PYTHON) -m pip install --disable-pip-version-check --require-hashes --requirement $(LOCK); }; \
	$(PYTHON) -m compileall -q $(CODE) || true; touch $(READY); echo "Installed"
