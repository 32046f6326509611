# Thin: each target also works by hand, with the commands below it.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
OUT ?= regard-report
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
GPU := build/gpu
DEVICE ?= cuda
MINUTES ?= 20

.PHONY: report test test-slow test-all check bench gpu docs clean

report: $(INSTALLED)  ## the main job on two embedded datasets: tables, $(OUT)/report.html, $(OUT)/frames/report.html
	$(BIN)/regard compare --attention se,cbam --epochs 5 --out $(OUT)
	$(BIN)/regard compare frames --attention "se, nonlocal(pool=1)" --epochs 3 --out $(OUT)/frames

test: $(INSTALLED)  ## the quick tests: recorded cases, laws, each room; minutes
	$(PYTEST) -m "not slow and not gpu" $(TESTS)

test-slow: $(INSTALLED)  ## what `test` leaves out: trainings, compiling and exporting of every option
	$(PYTEST) -m "slow and not gpu" $(TESTS)

test-all: $(INSTALLED)  ## both; TESTS=--junitxml=tests.xml passes options on
	$(PYTEST) -m "not gpu" $(TESTS)

check: $(INSTALLED)  ## format, lint, types, generated pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/build.py --check

bench: $(INSTALLED)  ## paired ratios against peers, behind a correctness gate
	$(BIN)/python -m benchmarks --out benchmarks/results

gpu: $(GPU)/.installed  ## on a machine with a GPU: its tests, memory and ratios against peers, in MINUTES
	$(GPU)/bin/python -m benchmarks.gpu --minutes $(MINUTES) --device $(DEVICE)

docs: $(INSTALLED)  ## write the generated pages and the README table anew
	$(BIN)/python docs/build.py

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

# Stands on the torch that $(PYTHON) has, which is seen through torch.pth and neither installed again nor changed.
$(GPU)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(GPU)
	$(PYTHON) -c "import pathlib, torch; print(pathlib.Path(torch.__file__).parents[1])" > $(GPU)/torch.pth
	mv $(GPU)/torch.pth "$$($(GPU)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	$(GPU)/bin/python -c "from importlib.metadata import version; print('torch==' + version('torch'))" > $(GPU)/constraints.txt
	grep -Ev '^(torch|torchvision|triton|nvidia-.*|cuda-.*)==' constraints.txt >> $(GPU)/constraints.txt
	$(GPU)/bin/pip install --quiet --constraint $(GPU)/constraints.txt --editable . pytest pytest-xdist
	touch $@

clean:
	rm -rf .venv build src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
