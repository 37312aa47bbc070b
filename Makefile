# Every target sets up what it needs: only Python 3.11 to 3.13 and make have to be there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := $(wildcard src tests tools benchmarks examples)

# The demo: real 8x8 handwritten digits, one synthetic image a class.
DEMO_OUT ?= runs/demo
DEMO_IPC ?= 1
DEMO_STEPS ?= 200
DEMO_REPEATS ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format bench faults soak docs package lowest clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: $(READY) ## Distil the digits and test the result, in a few minutes
	$(BIN)/distillset distill dm --data digits --ipc $(DEMO_IPC) --steps $(DEMO_STEPS) --out $(DEMO_OUT)
	$(BIN)/distillset evaluate $(DEMO_OUT) --repeats $(DEMO_REPEATS) --beside random whole
	@echo "The distilled images: $(DEMO_OUT)/grid.png"

test: $(READY) ## Run the tests (ARGS="-k name" goes to pytest)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

test-slow: $(READY) ## Run the tests that take longer
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(READY) ## Check style, types, layers (which module may import which), and that nothing can load a pickle
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports
	$(BIN)/python tools/check_no_pickle.py $(CODE)
	$(BIN)/python tools/check_lengths.py $(CODE)
	$(BIN)/python -m tools.results table --check

format: $(READY) ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: $(READY) ## Time the fast path and the textbook loop (ARGS goes to the benchmark)
	$(BIN)/python -m benchmarks --out results/benchmarks.json $(ARGS)

faults: $(READY) ## Kill every long command many times, attack everything that reads input, check the results (ARGS="--kills 400")
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults --out results/faults.json $(ARGS)

soak: $(READY) ## Run everything for half an hour in one process; memory and open files must not grow
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.soak --out results/soak.json $(ARGS)

docs: $(READY) ## Build the documentation into site/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The documentation: site/index.html"

package: $(READY) ## Build wheel and sdist, install the wheel in a clean environment and use it there
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	tools/try_package.sh dist/*.whl $(CONSTRAINTS)

lowest: ## Run the tests with the lowest versions that pyproject.toml allows
	$(MAKE) test VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt

clean: ## Remove the environments, caches and the demo's folder
	rm -rf .venv .venv-lowest dist build site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache $(DEMO_OUT)

# Without the constraints an open range would take the newest of everything, of torch with gigabytes of GPU libraries.
CONSTRAINTS ?= constraints.txt
$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("Python 3.11 to 3.13 is needed, $(PYTHON) is " + sys.version.split()[0] + ": make ... PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[dev]'
	@touch $@
