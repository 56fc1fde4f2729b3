# Everything a newcomer types. `make help` says what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ./var
BASE_PORT ?= 2525
STAMP := $(VENV)/.complete

.DEFAULT_GOAL := help
.PHONY: help setup run test check fuzz bench soak lock clean

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(STAMP)  ## make .venv and install what is pinned in requirements.lock (run and test call it)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Postkeep needs Python 3.11 or later; name it with PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	    || { echo "Python has no venv here: install python3-venv and try again"; exit 1; }; \
	    echo "Python has no venv here: installing the package python3-venv"; \
	    apt-get update -q && apt-get install -q -y --no-install-recommends python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup  ## start a single node in ./var (DATA=..., BASE_PORT=...), and say what to do next
	@$(BIN)/postkeep init --data $(DATA)
	@exec $(BIN)/postkeep serve --data $(DATA) --base-port $(BASE_PORT) --guide

test: setup  ## run the whole test suite
	$(BIN)/python -m pytest -n auto

check: setup  ## lint, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: setup  ## run the generated tests with many more cases (FACTOR=50)
	POSTKEEP_FUZZ_FACTOR=$(or $(FACTOR),50) $(BIN)/python -m pytest -n auto --dist load tests/fuzz tests/property

bench: setup  ## measure, side by side with Postfix and Dovecot where they are installed
	bench/run

soak: setup  ## kill a loaded node 500 times (ROUNDS=...), then generate far more cases than `make fuzz`
	POSTKEEP_KILL_ROUNDS=$(or $(ROUNDS),500) $(BIN)/python -m pytest tests/e2e/test_kill.py
	POSTKEEP_CANARIES=1000 POSTKEEP_SOAK_FACTOR=50 $(BIN)/python -m pytest \
	    tests/e2e/test_canaries_on_the_device.py tests/e2e/test_destroyed_copies.py
	$(MAKE) fuzz FACTOR=500

lock: setup  ## pin the newest versions that pyproject.toml allows, with hashes (needs uv)
	uv pip compile --universal --generate-hashes --python-version 3.11 --extra postgres --group dev \
	    --custom-compile-command "make lock" --upgrade -o requirements.lock pyproject.toml

clean:  ## remove what was built; data in ./var stays
	rm -rf $(VENV) build dist bench/build
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
