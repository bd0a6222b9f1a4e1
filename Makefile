# `make demo` and `make test` need Python 3.11 to 3.13, Java 17 or later, and a network once; each sets up what it needs.
.DEFAULT_GOAL := help
PYTHON ?= $(firstword $(foreach version,3.11 3.12 3.13,$(shell command -v python$(version))) python3)
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
GPU_VENV := .venv-gpu
GPU_BIN := $(CURDIR)/$(GPU_VENV)/bin
SITE_PACKAGES := import sysconfig; print(sysconfig.get_path("purelib"))
# spark-submit starts the first python3 on the PATH.
export PATH := $(BIN):$(PATH)
CORPUS ?= tests/samples/shards

.PHONY: help setup setup-dev setup-gpu demo demo-model test test-corpus test-model torture check check-report dist bench bench-gpu docs lock clean

help: ## what can be made
	@grep -E '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	echo $(CURDIR) > $$($(BIN)/python -c '$(SITE_PACKAGES)')/semantic_pivots.pth
	touch $@

$(VENV)/.runtime: requirements/runtime.txt conf/delta-jars.sha256 | $(VENV)/.python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	$(BIN)/python jobs/setup_jars.py
	touch $@

$(VENV)/.dev: requirements/dev.txt conf/s3-jars.sha256 | $(VENV)/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python jobs/setup_jars.py --s3
	touch $@

$(GPU_VENV)/.gpu: requirements/gpu.txt requirements/demo-model.txt
	$(PYTHON) -m venv $(GPU_VENV)
	$(GPU_BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/gpu.txt
	$(GPU_BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/demo-model.txt
	echo $(CURDIR) > $$($(GPU_BIN)/python -c '$(SITE_PACKAGES)')/semantic_pivots.pth
	touch $@

setup: $(VENV)/.runtime ## the environment of the corpus pipeline, in .venv (no torch)

setup-dev: $(VENV)/.dev ## that, and what tests and checks need

setup-%: setup ## the jars with which Spark reaches a store: setup-s3, setup-gs, setup-azure
	$(BIN)/python jobs/setup_jars.py --$*

setup-gpu: $(GPU_VENV)/.gpu ## the environment of the model side, in .venv-gpu (torch, no Spark)

demo: setup ## the whole pipeline on the sample shards, in local mode
	$(BIN)/python jobs/rebuild_corpus.py --config conf/demo.toml

demo-model: demo setup-gpu ## the model side on the demo's tables, with a real model of 135 million parameters, on a CPU
	$(GPU_BIN)/python jobs/gpu/demo_model.py --config conf/demo-model.toml

test: setup-dev setup-gpu ## the tests: the corpus pipeline without torch and, at the same time, the model side without Spark
	$(MAKE) --no-print-directory --jobs 2 test-corpus test-model

# Two processes, each file in one of them; what starts Spark comes first (tests/conftest.py).
test-corpus:
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/gpu

# One process, which uses the cores while the others wait. Its output is printed when it ends, apart from theirs.
test-model:
	@output=$$($(GPU_BIN)/python -m pytest tests/gpu 2>&1); status=$$?; echo "$$output"; exit $$status

torture: setup-dev ## every kill of every job, long random sequences of changes (docs/reliability.md), every character
	$(BIN)/python -m pytest --ignore tests/gpu -m nightly

check: setup-dev setup-gpu ## lint, types, formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --exclude jobs/gpu
	$(BIN)/mypy --python-executable $(GPU_BIN)/python --package jobs.gpu

check-report: setup-dev ## the reports in Chromium or Chrome: layout, search, axe (needs npm)
	command -v chromium || command -v google-chrome
	npm install --silent --no-save --no-package-lock axe-core@4.14.1
	$(BIN)/python -m pytest tests/report/test_page_in_browser.py

dist: setup ## what a cluster needs: dist/semantic_pivots.zip and dist/environment.tar.gz
	rm -rf dist
	$(BIN)/python jobs/framework/spark/code_zip.py dist/semantic_pivots.zip
	$(BIN)/python docker/pack_environment.py dist/environment.tar.gz

bench: setup-dev ## the benchmarks; CORPUS=folder of shards
	$(BIN)/python -m benchmarks.run_all --corpus $(CORPUS)

bench-gpu: demo setup-gpu ## the benchmarks of the model side, on the tables of `make demo` and whatever device is there
	$(GPU_BIN)/python -m jobs.gpu.convert_model --config conf/demo-model.toml
	$(GPU_BIN)/python -m benchmarks.gpu.on_a_gpu --config conf/demo-model.toml --out out/on_a_gpu --minutes 30 \
		--steps imports,training,memory,traces,reuse,variants,task,trace,profile,packing

docs: setup-dev ## writes the generated pages of docs/
	$(BIN)/python docs/generate_configuration.py
	$(BIN)/python docs/generate_tables.py

lock: ## compiles requirements/*.txt anew (needs uv)
	for name in runtime dev gpu; do uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url requirements/$$name.in -o requirements/$$name.txt; done

clean: ## removes what was made, not the environment
	rm -rf out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -exec rm -rf {} +
