# Two commands matter: `make run` and `make test`. Both set up what they need.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help run relay listener worker viewer doctor login test faults fuzz conformance bench screens check format clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

run: $(VENV)/runs  ## start relay, listener, worker and viewer on this machine
	@$(BIN)/python -m worker.start

# One of them by itself; in the folder there are directories of these names.
relay: $(VENV)/runs  ## start the relay alone
	@exec $(BIN)/python -m relay

listener: $(VENV)/runs  ## start the listener alone
	@exec $(BIN)/python -m listener

worker: $(VENV)/runs  ## start the worker alone
	@exec $(BIN)/python -m worker

viewer: $(VENV)/runs  ## start the viewer alone
	@exec $(BIN)/python -m viewer

doctor: $(VENV)/runs  ## look at every link of the chain, and send a command through all of it
	@$(BIN)/python -m worker.doctor

login: $(VENV)/runs  ## print a link and a code that connect one more browser to the viewer
	@$(BIN)/python -m viewer login

test: check  ## format, lint, types, import rules, and every test
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

faults: $(VENV)/tests  ## the long form of the fault tests: half an hour of kills and cuts
	FAULTS=long $(BIN)/python -m pytest tests/test_faults.py -s

bench: $(VENV)/tests  ## measure against the bars and print the table; ONLY=relay picks sections
	@$(BIN)/python -m tests.bench $(ONLY)

screens: $(VENV)/tests  ## make the pictures of the viewer in docs/screens/ anew
	@$(BIN)/python -m tests.screens

fuzz: $(VENV)/tests  ## the long form of the git fuzz: two minutes of commands in a repository full of traps
	FUZZ=long $(BIN)/python -m pytest tests/worker/actions/test_git_fuzz.py -s

conformance: $(VENV)/tests  ## the MCP inspector and conformance suite against the relay; needs npm
	@$(BIN)/python -m tests.conformance

check: $(VENV)/tests  ## the fast half of `make test`: no tests are run
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/tests  ## put the code in shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the virtual environment and caches; keys, policy and records stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# The stamps make a second start quick: nothing is asked of pip unless a list changed.
$(VENV)/runs: requirements.txt | $(VENV)/made
	@echo "Installing what runs ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/tests: requirements.txt requirements-dev.txt | $(VENV)/made
	@echo "Installing what runs and what tests ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/runs

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name one that you have: make run PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@
