# Everything runs from .venv, which `make install` fills from pinned versions.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := schemas producers processors sinks deploy
TYPES := build/types/runfold

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^## /{print "\n" substr($$0, 4)} /^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' \
		$(firstword $(MAKEFILE_LIST))

## The stack on this machine (what destroys data asks first, or takes FORCE=1)

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

RUNFOLD := $(BIN)/runfold
BACKUP ?= backups
SURE = @test "$(FORCE)" = 1 || { printf '%s Type yes: ' "$(ABOUT)"; read answer && test "$$answer" = yes; } \
	|| { echo 'nothing was done'; exit 1; }

.PHONY: stop
stop: install ## Stop the stack; nothing is lost.
	$(RUNFOLD) down

.PHONY: restart
restart: stop ## Stop the stack and start it again, in the foreground.
	@exec $(RUNFOLD) up

.PHONY: logs
logs: install ## Show what the parts log, and follow (PART=kafka for one alone).
	@$(RUNFOLD) logs --follow $(PART)

.PHONY: status
status: install ## Show what runs, and how far the lake is behind.
	@$(RUNFOLD) status

.PHONY: health
health: install ## Check every part; exits with 1 where something is wrong.
	@$(RUNFOLD) doctor

.PHONY: dashboard
dashboard: install ## Open the page of the running stack.
	@$(RUNFOLD) status --format json | $(BIN)/python -c 'import json, sys, webbrowser; \
		page = json.load(sys.stdin).get("page") or sys.exit("no stack runs: make start"); \
		print(page); webbrowser.open_new_tab(page)'

.PHONY: demo
demo: install ## Publish a made-up fleet of agents to the running stack.
	@$(RUNFOLD) demo

.PHONY: query
query: install ## Ask the lake by SQL, line by line (SQL="select …" for one).
	@$(RUNFOLD) query $(if $(SQL),"$$SQL")

.PHONY: query-traces
query-traces: install ## Show the last ten spans.
	@$(RUNFOLD) query "select occurred_at, coalesce(events.project, runs.project) as project, \
		coalesce(events.name, event_type) as span, events.status from events left join runs using (run_id) \
		where event_type = 'span.ended' or events.trace_id is not null \
		and event_type in ('run.ended', 'tool.ended', 'llm.called') order by occurred_at desc limit 10"

.PHONY: query-stats
query-stats: install ## Show events and errors of each project.
	@$(RUNFOLD) query "select coalesce(runs.project, runs.agent_name) as project, count(*) as events, \
		count(*) filter (where event_type = 'error.raised' or events.status in ('failure', 'error')) as errors \
		from events left join runs using (run_id) group by 1 order by 2 desc"

.PHONY: backup
backup: install ## Back up lake, dead letters and keys to BACKUP=backups, while all runs.
	$(RUNFOLD) backup $(BACKUP)

.PHONY: restore
restore: ABOUT = This replaces the lake of the stack by that of $(BACKUP).
restore: install ## Replace the lake under ~/.runfold by BACKUP=backups; Kafka stays as it is.
	$(SURE)
	-$(RUNFOLD) down
	$(RUNFOLD) restore $(BACKUP) --replace --lake-only

.PHONY: reset
reset: ABOUT = This deletes every event, run and dead letter of the stack.
reset: install ## Stop the stack and delete all its data.
	$(SURE)
	-$(RUNFOLD) down
	$(RUNFOLD) reset --yes

.PHONY: clean
clean: ABOUT = This removes .venv and build; your data stays.
clean: ## Remove what was installed and built here; the data under ~/.runfold stays.
	$(SURE)
	rm -rf $(VENV) $(VENV)-bench build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage *.egg-info

## For who works on runfold

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

.PHONY: chart
chart: install ## Render the Helm chart anew for its test (needs helm).
	$(BIN)/python -m tests.render_chart

.PHONY: browser
browser: ## Install Debian's Chromium, which the tests of the page need (as root).
	@command -v chromedriver >/dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium chromium-driver >/dev/null; }

.PHONY: dashboards
dashboards: install ## Build Grafana's dashboards and alerts from the code.
	$(BIN)/python -m runfold.deploy.grafana.build

.PHONY: fuzz
fuzz: install ## Send the collector anything, for minutes; FUZZ="--hypothesis-seed=7", FUZZ_EXAMPLES=100.
	FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),100) $(BIN)/python -m pytest -n 0 --timeout 0 \
		tests/contract/test_collector_schemathesis.py $(FUZZ)

.PHONY: collector-chaos
collector-chaos: install ## Kill the collector under load, again and again, and count; KILLS=10.
	KILLS=$(or $(KILLS),10) $(BIN)/python -m pytest -n 0 --timeout 0 -s \
		tests/integration/test_collector_kills.py

.PHONY: pin
pin: install ## Pin the newest versions that pyproject.toml allows.
	$(BIN)/python -m piptools compile --quiet --upgrade --strip-extras --extra dev --no-annotate \
		--no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--output-file build/constraints.txt pyproject.toml
	grep -v '^runfold @' build/constraints.txt > constraints.txt
