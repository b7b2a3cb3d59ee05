# make compare   the main comparison on embedded data, at most 5 minutes on 2 cores: results/<run>/report.html
# make test      the default test suite
# Both create .venv and install into it if needed. PYTHON chooses the interpreter, ARGS goes to the command,
# WORKERS is how many processes test.

PYTHON ?= python3
VENV ?= .venv
STAMP := $(VENV)/.installed
ARGS ?=
WORKERS ?= 2

.PHONY: compare test lint types install clean

compare: install
	$(VENV)/bin/python -m benchmarks compare $(ARGS)

test: install
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(WORKERS) $(ARGS)

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: install
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV)
