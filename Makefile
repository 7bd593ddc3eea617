# Everything runs from .venv, which `make install` fills from pinned versions.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := schemas producers processors sinks deploy
TYPES := build/types/runfold

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: install
install: $(VENV)/.installed ## Install runfold and its tools into .venv.

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "runfold needs Python 3.11 or newer")'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: start
start: install ## Install, start the stack, import your sessions (or a demo), show the runs, keep running.
	@exec $(BIN)/runfold quickstart

.PHONY: test
test: lint types ## Install, lint, check types, run all tests against a real Apache Kafka.
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder \
		--cov --cov-report=term:skip-covered

.PHONY: lint
lint: install ## Check style and formatting.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: install links ## Check types.
	$(BIN)/mypy $(addprefix -p runfold.,$(PACKAGES)) -p tests

# mypy reads the folders under the names that they are installed as.
.PHONY: links
links:
	@mkdir -p $(TYPES) && ln -sfn ../../tests build/types/tests
	@for package in $(PACKAGES); do ln -sfn ../../../$$package $(TYPES)/$$package; done

.PHONY: format
format: install ## Put code into the project's format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: install $(VENV)-bench/.installed ## Measure, beside what it is compared with, and print the figures (ARGS=--help).
	$(BIN)/python -m tests.benchmarks $(ARGS)

# Quix Streams brings another `avro` package, so it lives apart.
$(VENV)-bench/.installed: tests/benchmarks/requirements.txt
	@test -x $(VENV)-bench/bin/python || $(PYTHON) -m venv $(VENV)-bench
	@echo '*' >$(VENV)-bench/.gitignore
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: chaos
chaos: install ## Break the pipeline at random for minutes and compare; CHAOS="--seed 1 --seed 2".
	$(BIN)/python -m tests.chaos $(CHAOS)

.PHONY: pin
pin: install ## Pin the newest versions that pyproject.toml allows.
	$(BIN)/python -m piptools compile --quiet --upgrade --strip-extras --extra dev --no-annotate \
		--no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--output-file build/constraints.txt pyproject.toml
	grep -v '^runfold @' build/constraints.txt > constraints.txt

.PHONY: clean
clean: ## Remove what was installed and built here; the data under ~/.runfold stays.
	rm -rf $(VENV) $(VENV)-bench build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage *.egg-info
