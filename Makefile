# `make run` and `make test` need nothing but Python 3.11 or newer; both make .venv when it is missing.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: help run test check clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run: $(VENV)/.run  ## serve uploads from ./data (settings: make run ARGS="--port 0")
	@exec $(BIN)/tusd-s3 serve $(ARGS)

test: $(VENV)/.test  ## run all tests that can run here (pytest options: make test ARGS="-k name")
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.check  ## formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(BIN)/lint-imports

clean:  ## remove the environment and what tools left behind
	rm -rf $(VENV) .*_cache .hypothesis .coverage build dist *.egg-info

$(VENV)/.pip:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.run: pyproject.toml | $(VENV)/.pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/.pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . --group test
	@touch $@ $(VENV)/.run

$(VENV)/.check: pyproject.toml | $(VENV)/.pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . --group dev
	@touch $@ $(VENV)/.test $(VENV)/.run
