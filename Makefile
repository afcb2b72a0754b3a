# `make test` is all that a fresh machine needs: it makes .venv once, and again when pyproject.toml changes.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# threads that wait do so asleep: several processes share the cores, and spinning ones starve each other
export OMP_WAIT_POLICY ?= PASSIVE
PACKAGES := nnunet_doselo dataset_conversion predictor_training

.PHONY: env lint types test test-all demo clean

env: $(INSTALLED)

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -e ".[dev]"
	touch $@

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy $(PACKAGES)

test: lint types
	$(BIN)/python -m pytest -m "not slow and not gpu"

test-all: lint types
	$(BIN)/python -m pytest

# the whole path on synthetic patients, 12 minutes on two cores; `doselo demo --quick` takes 4; goes on if it was stopped
demo: env
	$(BIN)/doselo demo

# leaves .venv and doselo_demo alone
clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache lightning_logs
	find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
