# make run    install what the workbench needs into .venv and start it (PORT=8502 chooses another port)
# make test   install what the tests need too, a Chromium among it, and run every check
# PYTHON=/path/to/python3.12 chooses what .venv is made from, the first time

PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# two files of tests at a time; browser tests, which look at the clock, run alone
SIDE_BY_SIDE := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile
TABLES := sensitivity_exact sensitivity_fast prediction_error allocation cost_aware criteria \
	sparse_training finetuning_options deep_compression robustness digits_accuracy
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
DECLARED := pyproject.toml constraints.txt

.PHONY: help run test lint types unit ui whole browser format screenshots bench tables clean

help:
	@echo "make run          start the workbench on http://127.0.0.1:$(PORT)"
	@echo "make test         every check: lint, types, unit, page and browser tests"
	@echo "make unit         the tests of the core alone; make ui: of the pages without a browser"
	@echo "make whole        whole commands, files and test sets; make browser: the browser tests alone"
	@echo "make format       put the code into the project's format and mend what ruff can mend"
	@echo "make screenshots  every page, light and dark, into artifacts/screenshots"
	@echo "make bench        every benchmark in tests/benchmarks, printed"
	@echo "make tables       every table in tests/benchmarks/results, written anew (hours)"
	@echo "make clean        remove .venv, caches and artifacts"

run: $(RUNTIME)
	@$(BIN)/python -m workbench run --port $(PORT)

test: $(DEV) lint types
	@$(BIN)/python -m tests.browser.chromium
	$(SIDE_BY_SIDE) tests/unit tests/ui tests/whole
	$(BIN)/python -m pytest tests/browser

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

unit: $(DEV)
	$(SIDE_BY_SIDE) tests/unit

ui: $(DEV)
	$(SIDE_BY_SIDE) tests/ui

whole: $(DEV)
	$(SIDE_BY_SIDE) tests/whole

browser: $(DEV)
	@$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m pytest tests/browser

format: $(DEV)
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

screenshots: $(DEV)
	@$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m tests.browser.screenshots

bench: $(DEV)
	@$(BIN)/python -m tests.browser.chromium
	@for script in tests/benchmarks/[a-z]*.py; do \
		module=$$(echo "$${script%.py}" | tr / .); \
		printf '\n== %s\n' "$$script"; \
		$(BIN)/python -m "$$module" || exit 1; \
	done

tables: $(DEV)
	@for name in $(TABLES); do \
		$(BIN)/python -m tests.benchmarks.$$name || exit 1; \
	done

clean:
	rm -rf $(VENV) artifacts .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist

# --- installing: each stamp is remade when what is declared changes, so a second call does nothing ---

$(VENV)/.made:
	@python=""; \
	for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "The workbench needs Python 3.11 or later; $(or $(PYTHON),the PATH) has none." >&2; \
		echo "Install one, or name it: make $(firstword $(MAKECMDGOALS) run) PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python cannot make virtual environments: its venv and ensurepip modules are missing." >&2; \
		echo "On Debian and Ubuntu they are a package of their own: apt-get install python3-venv" >&2; \
		exit 1; \
	fi; \
	"$$python" -m venv $(VENV)
	@touch $@

$(RUNTIME): $(DECLARED) | $(VENV)/.made
	@echo "Installing the workbench into $(VENV); PyTorch makes this take a few minutes the first time."
	@$(PIP) --editable .
	@touch $@

$(DEV): $(DECLARED) | $(VENV)/.made
	@echo "Installing the workbench and what its tests need into $(VENV)."
	@$(PIP) --editable '.[dev]'
	@touch $(RUNTIME) $@
