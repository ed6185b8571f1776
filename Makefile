# Every target stands alone: it sets up what it needs, once, in .venv. `make help` lists them.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

# On Linux pip's PyTorch brings CUDA along, gigabytes of it. Where there is no NVIDIA card, PyTorch's
# own index has a build without. `make lab TORCH=cuda` and `TORCH=cpu` choose.
TORCH     ?= $(if $(shell command -v nvidia-smi),cuda,cpu)
CPU_INDEX ?= https://download.pytorch.org/whl/cpu

# OpenMP's idle threads must sleep, not spin: see llmcourse/__init__.py.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help lab progress train test torture lint check chapters exercises site clean

help:            ## this list
	@sed -n 's/^\([a-z]*\): .*## /make \1\t/p' $(MAKEFILE_LIST)

lab: $(VENV)/.lab  ## open the course in JupyterLab, on copies of your own in work/
	$(BIN)/python tools/lab.py

progress: $(VENV)/.core  ## what you have done, what is left, and how long it takes
	@$(BIN)/python -m llmcourse.progress

train: $(VENV)/.core  ## train a small GPT on Python's documentation (some five minutes)
	$(BIN)/python -m llmcourse.train

test: $(VENV)/.test  ## every test: the package, the chapters, the exercises
	$(BIN)/python -m pytest -n 2 --dist loadscope tests/
	$(BIN)/python -m pytest -n 2 --dist loadfile --nbval chapters/

torture: $(VENV)/.test  ## kill small runs 200 times and compare (half an hour; OPTIONS="--seed 7")
	$(BIN)/python tools/torture.py $(OPTIONS)

lint: $(VENV)/.dev  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check

check: lint  ## the quick loop: format, lint, types, fast unit tests
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow" -q tests/

chapters: $(VENV)/.test  ## execute the chapters and the solutions, and save their outputs
	$(BIN)/python tools/navigation.py
	$(BIN)/python tools/chapters.py

exercises: $(VENV)/.test  ## make the students' notebooks anew from the solutions
	$(BIN)/python tools/exercises.py

site: $(VENV)/.site  ## build the course as a web site, in build/site
	$(BIN)/python tools/website.py

clean:           ## remove the environment and everything that was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache test-artifacts

# A stamp for each set of packages. It is older than the file that declares them: set up again.
$(VENV)/.core: EXTRA =
$(VENV)/.lab:  EXTRA = [lab]
$(VENV)/.test: EXTRA = [test]
$(VENV)/.dev:  EXTRA = [dev]
$(VENV)/.site: EXTRA = [site]
SETS := $(addprefix $(VENV)/.,core lab test dev site)
$(SETS): pyproject.toml constraints.txt $(VENV)/.torch-$(TORCH)
	@echo "Setting up $(VENV): packages for llmcourse$(EXTRA). The first time takes a few minutes."
	$(PIP) --editable ".$(EXTRA)"
	@touch $@

# PyTorch comes first: who changes TORCH gets the other build. Where the index cannot be reached,
# pip's usual one will do.
$(VENV)/.torch-$(TORCH):
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/.torch-*
ifeq ($(TORCH)-$(shell uname -s),cpu-Linux)
	@echo "PyTorch without CUDA (TORCH=cuda takes the build with it):"
	$(PIP) --upgrade --no-deps --retries 0 --timeout 10 --index-url $(CPU_INDEX) torch \
		|| echo "$(CPU_INDEX) cannot be reached: pip's usual PyTorch it is, which does the same."
else
	@$(BIN)/python -m pip uninstall --quiet --yes torch 2>/dev/null || true
endif
	@touch $@
