# Everything sets itself up in .venv: on a fresh machine with Python, make and git,
# `make demo` and `make test` are all that is needed.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test check format docs bench published clean

demo: $(READY)
	$(BIN)/isthmus demo --out demo

test: $(READY)
	$(BIN)/python -m pytest -n 2

check: $(READY)
	$(BIN)/ruff format --check src tests benchmarks examples docs/pages.py
	$(BIN)/ruff check src tests benchmarks examples docs/pages.py
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format src tests benchmarks examples docs/pages.py
	$(BIN)/ruff check --fix src tests benchmarks examples docs/pages.py

# The site, in site/: open site/index.html. A warning is an error.
docs: $(READY)
	$(BIN)/python docs/pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: $(READY)
	$(BIN)/python benchmarks/speed.py --json benchmarks/results/speed.json
	$(BIN)/python benchmarks/pca_floor.py --json benchmarks/results/pca_floor.json
	$(BIN)/python benchmarks/denoising.py --json benchmarks/results/denoising.json
	$(BIN)/python benchmarks/memory.py --json benchmarks/results/memory.json
	$(BIN)/python benchmarks/rbm.py --json benchmarks/results/rbm.json

# Hours; it goes on where it was stopped.
published: $(READY)
	$(BIN)/python benchmarks/published.py
	$(BIN)/python benchmarks/pretraining.py --json benchmarks/results/pretraining.json --picture docs/pictures/pretraining.png

clean:
	rm -rf .venv demo site

# Built again when a dependency changes.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Isthmus needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)
