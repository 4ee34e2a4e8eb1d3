# Two commands do everything: `make sweep` and `make test`. Both may be interrupted and run again.

PYTHON ?= python3
PY := .venv/bin/python
INSTALLED := .venv/.installed

# An ESC-50 tree; without one, the embedded data set is made and swept.
DATA ?=
# Further key=value settings, for example ARGS="sweep.num_trials=12 storage.uri=s3://bucket/prefix".
ARGS ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile
	@echo 'make sweep DATA=<ESC-50 tree> ARGS="key=value …"   your own recordings and settings'

.PHONY: sweep
sweep: $(INSTALLED) ## featurize, search, print the leaderboard and the report's path
ifeq ($(DATA),)
	$(PY) jobs/synthesize.py root=workspace/data/synthetic
	$(PY) jobs/sweep.py preset=embedded data.root=workspace/data/synthetic $(ARGS)
else
	$(PY) jobs/sweep.py preset=esc50 data.root='$(DATA)' $(ARGS)
endif

.PHONY: test
test: $(INSTALLED) ## the test suite, without the slow and the cluster tests; a thread for each of its two processes
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "not slow and not cluster" -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: test-slow
test-slow: $(INSTALLED) ## kills, whole jobs and Ray clusters
	$(PY) -m pytest -m "slow or cluster" -n 2 --dist loadfile --no-loadscope-reorder --timeout 1500

.PHONY: check
check: $(INSTALLED) ## ruff and mypy
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

.PHONY: lock
lock: $(INSTALLED) ## write requirements.lock anew from pyproject.toml
	$(PY) -m piptools compile --quiet --upgrade --allow-unsafe --strip-extras --extra dev --extra export --no-header --no-annotate \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
	  --output-file requirements.lock pyproject.toml

.PHONY: venv
venv: $(INSTALLED) ## only the environment

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("melsweep needs Python 3.11 or newer: make PYTHON=python3.11 …") if sys.version_info < (3, 11) else None'
	@echo "setting up .venv (several GB with the CUDA build of torch; minutes)"
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --requirement requirements.lock
	PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
