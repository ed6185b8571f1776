# Every target stands alone: it sets up what it needs, once, in .venv. `make help` lists them.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --constraint constraints.txt

# In a container one is root, which JupyterLab accepts only when told so.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

# OpenMP's idle threads must sleep, not spin: see llmcourse/__init__.py.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help train lab test check chapters exercises clean

help:            ## this list
	@sed -n 's/^\([a-z]*\): .*## /make \1\t/p' $(MAKEFILE_LIST)

train: $(VENV)/.core  ## train a small GPT on Python's documentation (about three minutes)
	$(BIN)/python -m llmcourse.train

lab: $(VENV)/.lab  ## open the course in JupyterLab, at chapter 00
	$(BIN)/jupyter lab $(AS_ROOT) --LabApp.default_url=/lab/tree/chapters/00_welcome.ipynb

test: $(VENV)/.test  ## every test: the package, the chapters, the exercises
	$(BIN)/python -m pytest -n 2 --dist loadscope tests/
	$(BIN)/python -m pytest --nbval chapters/

check: $(VENV)/.dev  ## the quick loop: format, lint, types, fast unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow" -q tests/

chapters: $(VENV)/.test  ## execute the chapters and the solutions, and save their outputs
	$(BIN)/python tools/chapters.py

exercises: $(VENV)/.test  ## make the students' notebooks anew from the solutions
	$(BIN)/python tools/exercises.py

clean:           ## remove the environment and everything that was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache test-artifacts

# A stamp for each set of packages. It is older than the file that declares them: set up again.
$(VENV)/.core: EXTRA =
$(VENV)/.lab:  EXTRA = [lab]
$(VENV)/.test: EXTRA = [test]
$(VENV)/.dev:  EXTRA = [dev]
$(VENV)/.core $(VENV)/.lab $(VENV)/.test $(VENV)/.dev: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (once): packages for llmcourse$(EXTRA)"
	$(PIP) --editable ".$(EXTRA)"
	@touch $@
