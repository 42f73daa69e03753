# make repro   set up, make the demo data, run every stage on it
# make test    set up, check style and types, pass the tests
.PHONY: repro test test-all check clean
PYTHON ?= python3
EXTRAS ?= train,repro,dask,dev
VENV   := .venv
BIN    := $(VENV)/bin

$(VENV)/.installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 14) or sys.exit(f"{sys.executable} is Python {v[0]}.{v[1]}; Python 3.11 to 3.13 is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@

repro: $(VENV)/.installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m 'not slow'

test-all: check
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest

clean:
	rm -rf data/demo prepared stores
