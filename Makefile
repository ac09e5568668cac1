# `make search` and `make test` set everything up and run. STACK chooses the set of packages:
# onedl (default, in .venv) or openmmlab (in .venv-openmmlab); the pins are in requirements/stacks/.

PYTHON ?= python3
STACK ?= onedl
TRIALS ?= 60
WORK_DIR ?= work_dirs/digits
ARGS ?=

ifeq ($(STACK),onedl)
VENV := .venv
MMCV := onedl-mmcv
PYTHON_MIN := 10
PYTHON_MAX := 12
else ifeq ($(STACK),openmmlab)
VENV := .venv-openmmlab
MMCV := mmcv
PYTHON_MIN := 8
PYTHON_MAX := 11
else
$(error STACK=$(STACK) is unknown, valid: onedl, openmmlab)
endif

PY := $(VENV)/bin/python
PINS := requirements/stacks/$(STACK).txt
STAMP := $(VENV)/.installed
PIP := $(PY) -m pip --disable-pip-version-check install -c $(PINS)

.PHONY: help venv search test mutants check-configs lint clean
.DEFAULT_GOAL := help

help:
	@echo 'make search   set up, then search a distiller on handwritten digits (again: it resumes)'
	@echo 'make test     set up, then run the tests'
	@echo 'make mutants  small faults in the core that no test notices (hours; it resumes);'
	@echo '              ARGS="--sample 60 --room search" for a few of them'
	@echo 'make check-configs  one training iteration of every config at full size (an hour; it resumes)'
	@echo 'make lint     set up, then ruff and mypy'
	@echo 'make venv     set up only: $(VENV) from $(PINS)'
	@echo 'make clean    remove caches and build products (environments and work_dirs stay)'
	@echo
	@echo 'STACK=onedl|openmmlab  set of packages     PYTHON=python3.11  interpreter to set up with'
	@echo 'ARGS="..."             flags passed on to the tool or to pytest'
	@echo 'TRIALS=60 WORK_DIR=work_dirs/digits         of make search'

venv: $(STAMP)

search: $(STAMP)
	$(PY) tools/search.py configs/search/digits.py --trials $(TRIALS) --work-dir $(WORK_DIR) \
	  $(if $(wildcard $(WORK_DIR)/study.journal),--resume) $(ARGS)

# Two processes of one thread: on tensors this small, threads wait longer than they work.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) -m pytest tests -n 2 --dist loadfile $(ARGS)

mutants: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) tools/mutants.py $(ARGS)

check-configs: $(STAMP)
	$(PY) tools/check_configs.py $(ARGS)

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m mypy

# Torch first, because mmcv compiles against it. mmcv is tried as pip finds it (a wheel offered in
# PIP_FIND_LINKS wins over the sdist of the same version), then installed afresh, then built from
# its sdist: pip cannot see which torch a wheel was built for, loading its operations can (the
# extension alone: the packages that mmcv imports come later). --no-cache-dir because pip's cache
# of built wheels does not know about torch either.
# A package without INSTALLER, which pip writes after the package's own files, is half installed.
LOAD_OPS := import glob, importlib.util as u, torch; \
  folder = u.find_spec("mmcv").submodule_search_locations[0]; \
  u.module_from_spec(u.spec_from_file_location("_ext", glob.glob(folder + "/_ext*.so")[0]))

$(STAMP): $(PINS) requirements/runtime.txt requirements/train.txt requirements/tests.txt setup.py autokd_mm/version.py
	@p=$(PY); $$p -m pip --version > /dev/null 2>&1 || p='$(PYTHON)'; \
	$$p -c 'import sys; v = sys.version_info; sys.exit(not (3, $(PYTHON_MIN)) <= v[:2] <= (3, $(PYTHON_MAX)))' 2> /dev/null || { \
	  echo "STACK=$(STACK) needs Python 3.$(PYTHON_MIN) to 3.$(PYTHON_MAX), $$p is $$($$p -c 'import platform; print(platform.python_version())' 2> /dev/null || echo unusable): try make PYTHON=python3.11" >&2; exit 1; }; \
	test "$$p" = $(PY) || { rm -rf $(VENV) && $$p -m venv $(VENV); }
	@for d in $(VENV)/lib/python*/site-packages/*.dist-info; do \
	  test -e "$$d/INSTALLER" || rm -rf "$$d"; done
	$(PIP) torch torchvision setuptools wheel ninja
	@for how in '' '--force-reinstall --no-deps' '--force-reinstall --no-deps --no-binary $(MMCV)'; do \
	  echo "installing $(MMCV) $$how (takes 11 to 15 minutes when it has to be built)"; \
	  MMCV_WITH_OPS=1 $(PIP) --no-cache-dir --no-build-isolation $$how $(MMCV) || exit 1; \
	  $(PY) -c '$(LOAD_OPS)' && exit 0; \
	  echo 'these operations of mmcv do not load with this torch' >&2; \
	done; exit 1
	$(PIP) -r requirements/runtime.txt -r requirements/train.txt -r requirements/tests.txt -r $(PINS)
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find autokd_mm configs tests tools -name __pycache__ -type d -prune -exec rm -rf {} + 2> /dev/null || true
