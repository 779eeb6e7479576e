# `make` lists the targets. The environment is .venv, made when it is first needed and
# changed only when setup.cfg or pyproject.toml do; `make VENV=~/other` uses another.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT := out
EFFNET_LITE := $(BIN)/effnet-lite
MODEL := $(OUT)/efficientnet-lite0-int8.tflite
PHOTO := $(OUT)/photo.jpg
# Extra arguments for pytest: make test PYTEST='-k photos -x'; -n0 runs them in one process.
PYTEST ?=
# A file's tests share what is costly to make. TensorFlow takes a gigabyte a process.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-all apk lint format types package clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(MODEL): | $(VENV)/.imagenet
	@mkdir -p $(OUT)
	$(EFFNET_LITE) convert --variant lite0 --int8 -o $(MODEL) --overwrite

demo: $(VENV)/.imagenet ## Lite0 from ImageNet weights to a checked int8 model, a photo, a latency
	@rm -f $(MODEL)
	@$(MAKE) --no-print-directory $(MODEL)
	@$(BIN)/python -c 'import shutil, sys; from effnet_lite.lite.photos import labelled_sample_photos; \
	  shutil.copyfile(labelled_sample_photos()[4][0], sys.argv[1])' $(PHOTO)
	$(EFFNET_LITE) classify $(MODEL) $(PHOTO)
	$(EFFNET_LITE) benchmark $(MODEL)

test: $(VENV)/.dev ## The tests, but for those that take minutes
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(PYTEST)

test-all: $(VENV)/.dev ## All tests; MediaPipe's with EFFNET_LITE_MEDIAPIPE_PYTHON, see CONTRIBUTING
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST)

apk: $(VENV)/.dev $(MODEL) ## Build, test and package the Android demo without Gradle (Debian)
	$(EFFNET_LITE) android $(MODEL) --project android_demo --activation-map --overwrite
	$(BIN)/python android_demo/central/parity.py $(MODEL) build/android/parity
	$(BIN)/python android_demo/central/build.py --model $(MODEL) --parity build/android/parity

lint: $(VENV)/.dev ## Style: ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev ## Let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev ## Types: mypy (strict) and pyright
	$(BIN)/python scripts/link_types.py
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

package: $(VENV)/.dev ## Build sdist and wheel, install the wheel in a clean environment and use it
	rm -rf dist build/lib build/bdist.*
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	scripts/check_wheel.sh dist/*.whl

clean: ## Remove what was built; the environment stays (rm -r .venv)
	rm -rf $(OUT) build dist src/*.egg-info *.egg-info .pytest_cache .ruff_cache .mypy_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "effnet-lite needs Python 3.10 or later; '$(PYTHON)' is" \
	    "$$($(PYTHON) --version 2>&1 | head -n 1). Name another one: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -f $@; echo "On Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.imagenet: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[imagenet]'
	@touch $@

$(VENV)/.dev: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[convert,imagenet,dev]'
	@touch $@ $(VENV)/.imagenet
