# `make search` and `make test` set everything up and run. STACK chooses the set of packages: onedl
# (default, in .venv), openmmlab or latest (in .venv-STACK); the pins are in requirements/stacks/.

PYTHON ?= python3
STACK ?= onedl
MMCV ?= lite
TORCH_INDEX ?=
TRIALS ?= 60
WORK_DIR ?= work_dirs/digits
ARGS ?=
SPHINXOPTS ?=

ifeq ($(STACK),onedl)
VENV := .venv
else ifneq ($(filter $(STACK),openmmlab latest),)
VENV := .venv-$(STACK)
else
$(error STACK=$(STACK) is unknown, valid: onedl, openmmlab, latest)
endif

PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: help venv search test docs parity test-install test-newest mutants check-configs check-zoo lint clean
.DEFAULT_GOAL := help

help:
	@echo 'make search   set up, then search a distiller on handwritten digits (again: it resumes)'
	@echo 'make test     set up, then run the tests'
	@echo 'make docs     the site in build/docs, warnings are errors; runs the notebooks in it'
	@echo 'make parity   what stands in for compiled operations of mmcv, against a wheel if pip'
	@echo '              finds one'
	@echo 'make test-install  the wheel, built and installed outside the checkout, searches and trains'
	@echo 'make test-newest  the tests in .venv-newest, with the newest of everything that pip finds'
	@echo 'make mutants  small faults in the core that no test notices (hours; it resumes);'
	@echo '              ARGS="--sample 60 --room search" for a few of them'
	@echo 'make check-configs  one training iteration of every config at full size (an hour; it resumes)'
	@echo 'make check-zoo  from pair to exported student, small, with one config of every family of the'
	@echo '              model zoo (an hour; it resumes); ARGS="--package mmseg --family segformer"'
	@echo 'make lint     set up, then ruff and mypy'
	@echo 'make venv     set up only: $(VENV) from requirements/stacks/$(STACK).txt'
	@echo 'make clean    remove caches and build products (environments and work_dirs stay)'
	@echo
	@echo 'STACK=onedl|openmmlab|latest  set of packages   PYTHON=python3.11  interpreter to set up with'
	@echo 'MMCV=compiled          compiled operations: from a wheel that pip finds, or built (20 minutes)'
	@echo 'TORCH_INDEX=URL        index for torch alone, such as one of builds without CUDA'
	@echo 'ARGS="..."             flags passed on to the tool or to pytest'
	@echo 'TRIALS=60 WORK_DIR=work_dirs/digits         of make search'

venv: $(STAMP)

search: $(STAMP)
	$(PY) tools/search.py configs/search/digits.py --trials $(TRIALS) --work-dir $(WORK_DIR) \
	  $(if $(wildcard $(WORK_DIR)/study.journal),--resume) $(ARGS)

# Two processes of one thread: on tensors this small, threads wait longer than they work.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) -m pytest tests -n 2 --dist loadfile $(ARGS)

# Without SPHINXOPTS="-D nb_execution_mode=off" the notebooks are run, those that have changed.
docs: $(STAMP)
	$(PY) -m sphinx -q -W --keep-going -b html $(SPHINXOPTS) docs build/docs
	@echo 'build/docs/index.html'

parity: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) tools/parity.py --stack $(STACK) $(ARGS)

test-install: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) tools/check_install.py

# No pins: what pip finds newest today, in an environment made afresh.
.PHONY: test-newest
test-newest:
	rm -rf .venv-newest
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[onedl,onnx,tests]'
	OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest tests -n 2 --dist loadfile $(ARGS)

mutants: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) tools/mutants.py $(ARGS)

check-configs: $(STAMP)
	$(PY) tools/check_configs.py $(ARGS)

check-zoo: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) tools/check_zoo.py $(ARGS)

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m mypy

$(STAMP): $(wildcard requirements/stacks/$(STACK).*) requirements/runtime.txt \
          requirements/train.txt requirements/tests.txt setup.py autokd_mm/version.py
	@$(PYTHON) tools/set_up.py --stack $(STACK) --venv $(VENV) --mmcv $(MMCV) \
	  $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
	@touch $@

clean:
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find autokd_mm configs tests tools -name __pycache__ -type d -prune -exec rm -rf {} + 2> /dev/null || true
