PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo study test lint types imports wheel format clean

demo: $(STAMP)
	$(BIN)/headimpact demo --out runs/demo --resume

study: $(STAMP)
	$(BIN)/headimpact study --config src/headimpact/cli/presets/study_where.yaml --resume
	$(BIN)/headimpact study --config src/headimpact/cli/presets/study_wording.yaml --resume

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

# A wheel must work on its own: built, installed in an empty environment, asked for help and its scenes.
wheel: $(STAMP)
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m build --wheel --no-isolation --outdir build/wheel >/dev/null
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/pip install --quiet -c constraints.txt build/wheel/*.whl
	cd build/wheel && venv/bin/headimpact --help && venv/bin/headimpact list models

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# torch goes first and alone, so that its pinned version is the one that everything else finds. Its builds for CUDA bring
# the Triton that they need; where there is none, the tests run our kernels in Triton's interpreter.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/python -c "import triton" 2>/dev/null || $(BIN)/pip install --quiet triton==3.9.0 || true
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist runs
