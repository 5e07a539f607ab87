# GNU make. `make` alone lists what there is.

PYTHON ?= python3
BIN    := .venv/bin
STAMP  := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint docs constraints screenshots clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv (once, and again when the requirements change)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedchunk needs Python 3.11 or newer; name one with make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs,huggingface]'
	@# mypy and editors read the folders as one package through these links; Python finds it through pip's own way.
	rm -rf .venv/links && mkdir -p .venv/links/fedchunk
	ln -s ../../../fedchunk/__init__.py ../../../fedchunk/py.typed ../../../orchestrator ../../../actors ../../../analysis .venv/links/fedchunk
	@touch $(STAMP)

demo: setup ## run the quick start: 20 clients on real digits, under a minute
	$(BIN)/fedchunk run configs/quickstart.yaml

test: setup ## run all tests on two processes, but those that need a GPU
	$(BIN)/python -m pytest -n 2 -m 'not gpu'

test-fast: setup ## run the tests that start no Ray and take no time
	$(BIN)/python -m pytest -m 'not gpu and not ray and not slow'

lint: setup ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py

docs: setup ## build the site into build/site; anything doubtful is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

constraints: setup ## pin what is installed now (after an upgrade)
	$(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable | grep -v -e '@' -e '^-e' > constraints.txt

screenshots: setup ## photograph the MLflow UI on the newest runs into docs/images (needs Chromium)
	$(BIN)/python docs/screenshots.py

clean: ## delete what tools and tests leave behind; keeps .venv, runs and data
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
