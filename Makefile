# `make help` lists the targets. Everything is installed into .venv.
#
#   make PYTHON=python3.13 test     with another interpreter; .venv is rebuilt if it is of another version
#   make EXTRAS=train,dev test      with other extras of setup.cfg
PYTHON ?= python3
EXTRAS ?= train,export,repro,dask,dev
VENV   := .venv
BIN    := $(VENV)/bin
# The versions that the tests passed with.
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
RUN    := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)

# The public modules are those that docs/api has a page of; their docstrings are checked.
PAGES  := $(subst .,/,$(shell sed -n 's/^.. automodule:: //p' docs/api/*.rst))
PUBLIC := $(wildcard $(PAGES:%=%.py) $(PAGES:%=%/__init__.py))

# What `make quick` leaves out: tests that load TensorFlow, compile, or start processes.
SLOW := tests/models tests/pipeline/synthesis tests/pipeline/exporting tests/pipeline/tagging \
	tests/pipeline/published tests/pipeline/reports tests/features/kernels/test_compiled.py \
	tests/pipeline/runtime/test_parallel.py tests/pipeline/cli/test_main*.py tests/pipeline/test_*.py tests/test_*.py

# Two processes, each with whole files of tests, whose fixtures are made once.
SIDE_BY_SIDE := -n 2 --dist loadfile

# The interpreter was chosen, so .venv has to be of its version.
ifneq ($(origin PYTHON),file)
OTHER := $(shell $(PYTHON) -c 'import sys; v = "version = {}.{}.".format(*sys.version_info); \
	print("" if v in open("$(VENV)/pyvenv.cfg").read() else "other-python")' 2>/dev/null || echo other-python)
endif

.DEFAULT_GOAL := help
.PHONY: help repro quick test test-all check lint-docstrings docs notebook lock licences clean other-python

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt $(OTHER)
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 14) or sys.exit(f"{sys.executable} is Python {v[0]}.{v[1]}; Python 3.11 to 3.13 is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(if $(OTHER),--clear) $(VENV)
	$(PIP) --editable '.[$(EXTRAS)]'
	@touch $@

$(VENV)/.docs-installed: $(VENV)/.installed
	$(PIP) --editable '.[train,docs]'
	@touch $@

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

repro: $(VENV)/.installed ## install, make the demo data, run every stage on it (about 6 minutes)
	$(RUN)/dvc repro
	@echo "The pages, to open in a browser:"
	@ls reports/*.html

quick: $(VENV)/.installed ## run the fast tests: no TensorFlow, no stages (under a minute)
	$(RUN)/python -m pytest -m 'not slow' $(SLOW:%=--ignore-glob='$(CURDIR)/%')

test: check ## install, check style and types, run all tests but the slowest (about 8 minutes)
	$(RUN)/python -m pytest -m 'not slow' $(SIDE_BY_SIDE)

test-all: check ## the same with the slowest tests, which take minutes each
	$(RUN)/python -m pytest $(SIDE_BY_SIDE)

check: lint-docstrings ## check docstrings, style (ruff) and types (mypy)
	$(BIN)/ruff check .
	$(BIN)/mypy

lint-docstrings: $(VENV)/.installed ## check the public docstrings against numpydoc's rules
	$(BIN)/numpydoc lint $(PUBLIC)

docs: $(VENV)/.docs-installed ## build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

notebook: $(VENV)/.docs-installed ## execute the tour and write it to docs/_build/tour.ipynb
	@mkdir -p docs/_build
	$(BIN)/jupytext --to ipynb --execute --output docs/_build/tour.ipynb docs/tour.py

lock: $(VENV)/.installed ## bring constraints.txt up to what setup.cfg asks for; delete it before, for the newest versions
	$(PIP) 'uv>=0.5'
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header \
		--output-file constraints.txt setup.cfg

licences: $(VENV)/.installed ## list the licences of what is installed
	$(PIP) 'pip-licenses>=5'
	$(BIN)/pip-licenses --order license

clean: ## delete what the stages wrote, trained runs included, and caches; .venv stays
	rm -rf data/demo prepared stores runs submission.csv docs/_build build
	git ls-files --error-unmatch reports/metrics.json >/dev/null 2>&1 || rm -f reports/metrics.json
	test ! -d reports || find reports -mindepth 1 -not -path reports/metrics.json -delete
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find features models pipeline tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} +
