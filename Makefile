# Shepherd: `make demo` and `make test` each set everything up from a clean clone.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help setup demo test test-all lint format bench clean

help:
	@echo "make setup     create $(VENV) with Shepherd and its tools"
	@echo "make demo      run the quickstart federation, its baselines and the report"
	@echo "make test      run the test suite (a few minutes)"
	@echo "make test-all  run the slow checks too"
	@echo "make lint      ruff and mypy"
	@echo "make bench     time the engine, populations, the fixed cost of a client, aggregation, selection, endpoints, answers, a federation"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,trackers,judge,eval,chat,flower]"
	@touch $(STAMP)

setup: $(STAMP)

demo: setup
	$(BIN)/shepherd baselines quickstart --budget rounds

test: setup
	$(BIN)/python -m pytest

test-all: setup
	$(BIN)/python -m pytest -m "slow or not slow"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python benchmarks/local_training.py --turns 3
	$(BIN)/python benchmarks/population.py
	$(BIN)/python benchmarks/round_overhead.py
	$(BIN)/python benchmarks/aggregation.py
	$(BIN)/python benchmarks/selection.py --rounds 2
	$(BIN)/python benchmarks/clustering.py --quick
	$(BIN)/python benchmarks/endpoint.py
	$(BIN)/python benchmarks/answers.py
	$(BIN)/python benchmarks/federation_overhead.py
	$(BIN)/python benchmarks/federation_sites.py --sites 20

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
