# `make demo` and `make test` work in a fresh clone: the first run makes .venv, about 7 GB, in minutes.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help env test pytest lint demo demo-train qgis-plugin site site-serve clean
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE  # or every process would compile all that it imports again

help:
	@echo "make demo        clear a real scene and simulated clouds in about a minute: results in demo_output/"
	@echo "make demo-train  train on simulated clouds, evaluate, clear a scene, in minutes: results in demo_output/"
	@echo "make test        every check: ruff, mypy, import contracts, pytest"
	@echo "make lint        the same without pytest"
	@echo "make pytest      pytest alone"
	@echo "make qgis-plugin pack the plugin for QGIS: dist/declouds_processing.zip"
	@echo "make site        the documentation as a site: site/index.html"
	@echo "make site-serve  the same on http://127.0.0.1:8000, rebuilt whenever a page changes"
	@echo "make env         only make .venv (with another Python: make env PYTHON=python3.12)"
	@echo "make clean       remove .venv, caches and the demos' results; trained runs in work_dirs/ stay"

env: .venv/.stamp

demo: env
	$(BIN)/python tools/demo.py

demo-train: env
	$(BIN)/python tools/demo_train.py

# Needs no .venv.
qgis-plugin:
	@$(PYTHON) qgis/package.py dist/declouds_processing.zip

# Without the advertisement of the theme for its successor.
site: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

site-serve: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

# Both at once: mypy keeps one core busy for a minute, pytest waits for processes now and then.
test: env
	@$(MAKE) --no-print-directory -j 2 lint pytest

pytest: env
	@echo "== pytest"
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n 2

lint: env
	@echo "== ruff check"
	$(BIN)/ruff check .
	@echo "== ruff format"
	$(BIN)/ruff format --check .
	@echo "== mypy"
	$(BIN)/mypy
	@echo "== import contracts"
	$(BIN)/lint-imports

clean:
	rm -rf .venv build dist site demo_output *.egg-info .*_cache .hypothesis .dist_test
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made again when the dependencies change; the stamp comes last, so an interrupted installation is resumed.
.venv/.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "declouds needs Python 3.11 or newer, $(PYTHON) is not: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "== making .venv with $$($(PYTHON) --version)"
	$(PYTHON) -m venv .venv
	@echo "== installing declouds and its dependencies: about 3 GB to download, most of it PyTorch"
	@# Most of the 20,000 modules are never imported: Python compiles those that are, the first time.
	$(BIN)/pip install --disable-pip-version-check --no-compile -e '.[dev]' -c constraints.txt
	@# MMEngine asks for the OpenCV that opens windows; where its libraries are missing the headless one takes its place.
	@$(BIN)/python -c 'import cv2' >/dev/null 2>&1 || { \
	  echo "== no window system here: replacing opencv-python by its headless twin"; \
	  $(BIN)/pip uninstall -y opencv-python && \
	  $(BIN)/pip install --disable-pip-version-check --force-reinstall --no-deps opencv-python-headless -c constraints.txt; }
	@echo "== first start, which compiles what declouds imports"
	@$(BIN)/declouds models >/dev/null
	@touch $@
	@echo "== .venv is ready"
