# The one set-up of everything: a virtual environment at the project's root. Each target needs only python3.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS := dev,kafka,rabbitmq

.PHONY: up demo test lint bench chaos clean

# Re-made when what is installed changes; "editable" so that a change in the tree is there at once. Debian's
# python3 has venv but not what puts pip into one (python3-venv); a pip of its own (python3-pip) does as well.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is `$(PYTHON) --version 2>&1`; name another: make PYTHON=python3.12" >&2; \
	  exit 2; }
	@echo "Installing into $(VENV) (once, about half a minute) ..."
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || \
	  { $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --version >/dev/null 2>&1; } || { \
	  echo "$(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 2; }
	@if [ -x $(BIN)/pip ]; then pip="$(BIN)/python -m pip"; else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; \
	  $$pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

up: $(VENV)/.installed       ## start everything, with examples/quickstart applied; Ctrl-C ends it
	@exec $(BIN)/clarion up -f examples/quickstart

demo: $(VENV)/.installed     ## the quickstart by itself, in a temporary directory; ends in under a minute
	@exec $(BIN)/clarion demo

test: $(VENV)/.installed     ## the tests, against real servers that they start and stop; in two processes
	$(BIN)/pytest -n 2

lint: $(VENV)/.installed     ## ruff (all rules), mypy (strict), import-linter (who may import whom)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed    ## the figures of the README, as ratios to floors of the same run; needs wrk
	$(BIN)/python -m benchmarks

# make chaos DURATION=60 SEED=7 FAULTS=kill-valkey,tear-log; more with CHAOS=--help
chaos: $(VENV)/.installed    ## events, triggers and everything that can go wrong, 10 minutes; then whether all is well
	$(BIN)/python -m tests.chaos $(if $(DURATION),--duration $(DURATION)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(FAULTS),--faults $(FAULTS)) $(CHAOS)

clean:
	rm -rf $(VENV)
