# `make demo` and `make test` need Python 3.11, Java 17 and a network once; each sets up what it needs.
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
SITE := $(VENV)/lib/python3.11/site-packages
# spark-submit starts the first python3 on the PATH.
export PATH := $(BIN):$(PATH)
CORPUS ?= tests/samples/shards

.PHONY: help setup setup-dev setup-gpu demo demo-model test check dist bench bench-gpu lock clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	echo $(CURDIR) > $(SITE)/semantic_pivots.pth
	touch $@

$(VENV)/.runtime: requirements/runtime.txt conf/delta-jars.sha256 | $(VENV)/.python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	docker/install_delta_jars.sh $(SITE)/pyspark/jars
	touch $@

$(VENV)/.dev: requirements/dev.txt | $(VENV)/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

$(VENV)/.gpu: requirements/gpu.txt | $(VENV)/.dev
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/gpu.txt
	touch $@

setup: $(VENV)/.runtime ## the environment of the corpus pipeline, in .venv (no torch)

setup-dev: $(VENV)/.dev ## that, and what tests and checks need

setup-gpu: $(VENV)/.gpu ## that, and torch for the model side

demo: setup ## the whole pipeline on the sample shards, in local mode
	$(BIN)/python jobs/rebuild_corpus.py --config conf/demo.toml

test: setup-dev ## the tests
	$(BIN)/python -m pytest

check: setup-dev ## lint, types, formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

dist: setup-dev ## what a cluster needs: dist/semantic_pivots.zip and dist/environment.tar.gz
	rm -rf dist && mkdir dist
	git archive --format=zip -o dist/semantic_pivots.zip HEAD jobs pivot_udfs
	$(BIN)/venv-pack -q -p $(VENV) -o dist/environment.tar.gz \
		--exclude '$(SITE)/pyspark*' --exclude '*.pth'

bench: setup-dev ## the benchmarks; CORPUS=folder of shards
	$(BIN)/python -m benchmarks.run_all --corpus $(CORPUS)

lock: ## compiles requirements/*.txt anew (needs uv)
	for name in runtime dev gpu; do uv pip compile -q --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url requirements/$$name.in -o requirements/$$name.txt; done

clean: ## removes what was made, not the environment
	rm -rf out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -exec rm -rf {} +
