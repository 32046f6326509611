# Thin: each target also works by hand, with the commands below it.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
OUT ?= regard-report

.PHONY: report test check bench docs clean

report: $(INSTALLED)  ## the main job on embedded data: table on the terminal, $(OUT)/report.html
	$(BIN)/regard compare --out $(OUT)

test: $(INSTALLED)  ## the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

check: $(INSTALLED)  ## format, lint, types, generated pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/build.py --check

bench: $(INSTALLED)  ## paired ratios against peers, behind a correctness gate
	$(BIN)/python -m benchmarks --out benchmarks/results

docs: $(INSTALLED)  ## write the generated pages and the README table anew
	$(BIN)/python docs/build.py

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv build src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
