# Set-up happens by itself: every target makes .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most of the time goes into compiling kernels, which a file of tests does once.
PARALLEL ?= -n auto --dist loadfile
# Tests on a GPU fill its memory, and run one at a time: make test-gpu.
ELSEWHERE := --ignore=tests/gpu
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Two installations into one environment must not run at once.
.NOTPARALLEL:

.PHONY: demo test test-all test-torch test-gpu bench-gpu check-gpu lint codegen check tables accuracy bench bench-peers mutants book constraints clean

demo: $(VENV)/.demo
	$(BIN)/python -m numeric.demo

# Kernels for GPUs run in a simulator, which has to be asked for before Numba is imported.
SIMULATED := NUMBA_ENABLE_CUDASIM=1 $(BIN)/python -m pytest tests/simulator

test: $(VENV)/.test
	$(BIN)/python -m pytest -m "not slow and not torch" $(PARALLEL) $(ELSEWHERE) $(ARGS)
	$(SIMULATED) -m "not slow" -n auto

# What needs PyTorch, whose arrays on the CPU, and fake ones without numbers, stand in for a GPU's. Where it cannot be
# installed or imported this fails: the tests themselves would be skipped.
test-torch: $(VENV)/.test $(VENV)/.torch
	$(BIN)/python -c "import torch"
	$(BIN)/python -m pytest -m "torch and not slow" $(PARALLEL) $$(grep -l "mark\.torch" tests/*/test_*.py) $(ARGS)

test-all: $(VENV)/.test
	$(BIN)/python -m pytest $(PARALLEL) $(ELSEWHERE) $(ARGS)
	$(SIMULATED) -n auto

# On a machine with an NVIDIA GPU, and PyTorch or CuPy in this environment; else every test is skipped, and says why.
# Most of the time would go into compiling kernels, which several processes do, and for one library only; what fills the
# GPU's memory comes after, alone. ARGS="-k relu", say, is a short run.
ON_GPU := $(BIN)/python -m pytest tests/gpu
test-gpu: $(VENV)/.test
	@status=0; \
	$(ON_GPU) -m kernels -n 8 $(ARGS) || [ $$? -eq 5 ] || status=1; \
	$(ON_GPU) -m "not kernels" $(ARGS) || [ $$? -eq 5 ] || status=1; \
	exit $$status

# Against the copy bandwidth and the matrix products of that GPU; ARGS="--mnist FOLDER" for the solver.
bench-gpu: $(VENV)/.test
	$(BIN)/python -m tests.benchmarks.bench_gpu $(ARGS)

# Every kernel to machine code, also without a GPU.
check-gpu: $(VENV)/.test
	$(BIN)/python -m numeric.cuda check

lint: $(VENV)/.dev
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/pyright

# Write numeric/generated/ from the proved formulas; `make check` only says whether it is up to date.
codegen: $(VENV)/.test
	$(BIN)/python -m symgauss.codegen

check: $(VENV)/.test
	$(BIN)/python -m symgauss.codegen --check

# The arbitrary-precision reference tables, and the kernels' worst errors against them.
tables: $(VENV)/.test
	$(BIN)/python -m tests.oracle.tables

accuracy: $(VENV)/.test
	$(BIN)/python -m tests.oracle.accuracy

bench: $(VENV)/.test
	$(BIN)/python -m tests.benchmarks

# Against other libraries; those that cannot be installed are named and skipped.
bench-peers: $(VENV)/.test
	-$(MAKE) $(VENV)/.peers
	$(BIN)/python -m tests.benchmarks.peers $(ARGS)

# Errors planted at random places of copies of the packages: do the tests notice?
mutants: $(VENV)/.test
	$(BIN)/python -m tests.mutants $(ARGS)

# The derivations and notebooks, executed and rendered to book/index.html.
book: $(VENV)/.test
	$(BIN)/python derivations/book.py

constraints: $(VENV)/.dev $(VENV)/.peers
	{ echo "# Exact versions used by make and CI. Regenerate: make constraints"; \
	  $(PIP) freeze --exclude-editable; echo "torch==2.13.0"; } > constraints.tmp && mv constraints.tmp constraints.txt

clean:
	rm -rf $(VENV) book demo.png demo_reading.png

# One stamp per extra: what is installed follows pyproject.toml and constraints.txt.
$(VENV)/.demo $(VENV)/.test $(VENV)/.torch $(VENV)/.dev $(VENV)/.peers: $(VENV)/.%: pyproject.toml constraints.txt | $(VENV)/.made
	$(PIP) install --quiet --constraint constraints.txt --editable ".[$*]"
	@touch $@

# A stamp, because a half-made environment has a python too.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "symgauss needs Python 3.11 or newer; run make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@
