# Everything sets itself up in .venv: on a fresh machine with Python, make and git,
# `make demo` and `make test` are all that is needed.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test fuzz check format docs bench kill published clean

demo: $(READY)
	$(BIN)/isthmus demo --out demo

test: $(READY)
	$(BIN)/python -m pytest -n 2

# Thousands of hostile files and inputs, where `make test` has hundreds.
fuzz: $(READY)
	PYTHONPATH=tests $(BIN)/python -m fuzz --json benchmarks/results/fuzz.json

check: $(READY)
	$(BIN)/ruff format --check src tests benchmarks examples docs/*.py
	$(BIN)/ruff check src tests benchmarks examples docs/*.py
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format src tests benchmarks examples docs/*.py
	$(BIN)/ruff check --fix src tests benchmarks examples docs/*.py

# The site, in site/: open site/index.html. A warning is an error.
docs: $(READY)
	$(BIN)/python docs/pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: $(READY)
	$(BIN)/python benchmarks/speed.py --json benchmarks/results/speed.json
	$(BIN)/python benchmarks/pca_floor.py --json benchmarks/results/pca_floor.json
	$(BIN)/python benchmarks/likelihood_floor.py --json benchmarks/results/likelihood_floor.json
	$(BIN)/python benchmarks/denoising.py --json benchmarks/results/denoising.json
	$(BIN)/python benchmarks/speed.py --only checkpoint --json benchmarks/results/checkpoint.json
	$(BIN)/python benchmarks/memory.py --json benchmarks/results/memory.json
	$(BIN)/python benchmarks/rbm.py --json benchmarks/results/rbm.json
	$(BIN)/python benchmarks/onnx_runtime.py --json benchmarks/results/onnx_runtime.json
	$(BIN)/python benchmarks/outliers.py --json benchmarks/results/outliers.json
	$(BIN)/python benchmarks/altered.py

kill: $(READY)
	$(BIN)/python benchmarks/kill.py --json benchmarks/results/kills.json

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
