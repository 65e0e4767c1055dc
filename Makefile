# The one set-up of everything: a virtual environment at the project's root. Each target needs only python3.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS := dev,kafka,rabbitmq

.PHONY: up demo test lint bench clean

# Re-made when what is installed changes; "editable" so that a change in the tree is there at once.
$(VENV)/.installed: pyproject.toml
	@echo "Installing into $(VENV) (once, about half a minute) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "python3 has no venv module: on Debian, apt install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

up: $(VENV)/.installed       ## start everything, with examples/quickstart applied; Ctrl-C ends it
	@exec $(BIN)/clarion up -f examples/quickstart

demo: $(VENV)/.installed     ## the quickstart by itself, in a temporary directory; ends in under a minute
	@exec $(BIN)/clarion demo

test: $(VENV)/.installed     ## the tests, against real servers that they start and stop
	$(BIN)/pytest

lint: $(VENV)/.installed     ## ruff (all rules), mypy (strict), import-linter (who may import whom)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed    ## the figures of the README, as ratios to floors of the same run; needs wrk
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV)
