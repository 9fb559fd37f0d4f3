# Everything a newcomer or a build machine needs; the first target that wants Python installs it into .venv, once.
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PYTHON ?= python3.11
WORKERS ?= 2
PEERS := .venv-peers
PEERS_PY := $(PEERS)/bin/python
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# The tests start some forty processes that import the package: without bytecode each of them compiles it anew.
KEEP_BYTECODE := PYTHONDONTWRITEBYTECODE=

.PHONY: help demo test test-slow test-backends bench fuzz bench-core bench-meshes bench-physics bench-solvers bench-mechanics bench-graph bench-flow bench-hamiltonian lint clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A constraint on torch keeps pip from fetching another build of it; a broken or half-made environment is made anew.
$(INSTALLED): pyproject.toml constraints.txt $(wildcard graphpde/core/kernels/src/* graphpde/mesh/io/src/*)
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
	  for candidate in $(PYTHON) python3.12 python3.13 python3; do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	      exec "$$candidate" -m venv --clear $(VENV); \
	    fi; \
	  done; \
	  echo "graphpde needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "installing graphpde and what its tests need into $(VENV) (once; a few minutes)"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,io]"
	@touch $@

demo: $(INSTALLED) ## simulate on a mesh and say where the picture, the ParaView files and the report lie
	@$(VENV)/bin/graphpde demo --mesh meshes/plate_with_holes.msh -o runs/demo

test: $(INSTALLED) ## run the tests, without those marked slow
	$(ONE_THREAD) $(KEEP_BYTECODE) $(PY) -m pytest -n $(WORKERS) --dist worksteal -q

test-slow: $(INSTALLED) ## run the tests marked slow
	$(ONE_THREAD) $(KEEP_BYTECODE) $(PY) -m pytest -n $(WORKERS) --dist worksteal -q -m slow

test-backends: $(INSTALLED) ## run the tests of core, solvers, operators and steppers on each kernel backend
	@set -e; for backend in reference csr native; do echo "== $$backend"; \
	  GRAPHPDE_KERNELS=$$backend $(ONE_THREAD) $(PY) -m pytest -n $(WORKERS) -q tests/core tests/solve tests/ops tests/dynamics; done

bench: $(INSTALLED) ## run the benchmarks and print their tables
	@set -e; for script in benchmarks/*.py; do \
	  [ -e "$$script" ] || { echo "there are no benchmarks yet"; break; }; \
	  echo "== $$script"; $(PY) "$$script"; done
	@$(MAKE) fuzz

fuzz: $(INSTALLED) ## damage mesh files by seeded mutation and judge what the readers do (half an hour; goes on from runs/)
	@mkdir -p runs
	$(ONE_THREAD) $(PY) -m tests.fuzz --mutants 6000 --seed 20261120 --part own --resume runs/fuzz-own.jsonl
	$(ONE_THREAD) $(PY) -m tests.fuzz --mutants 2520 --seed 20261120 --part bridged --resume runs/fuzz-bridged.jsonl

# The libraries compared with are no part of graphpde's own environment. torch_scatter is compiled against the torch that
# is there (some five minutes); where that fails its rows say so, and the log tells why.
$(PEERS)/.installed: constraints.txt benchmarks/peers.txt | $(INSTALLED)
	@echo "installing the libraries to compare with into $(PEERS) (once; torch_scatter is compiled, about five minutes)"
	@$(PEERS_PY) -m pip --version >/dev/null 2>&1 || $(PY) -m venv --clear $(PEERS)
	@$(PEERS_PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -c benchmarks/peers.txt \
	  -e ".[io]" FiPy gmsh hypothesis numba POT pytest pyvista scikit-fem setuptools torchdiffeq wheel
	@$(PEERS_PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -c benchmarks/peers.txt \
	  --no-deps torchcfm
	@$(PEERS_PY) -m pip install --disable-pip-version-check -c constraints.txt -c benchmarks/peers.txt \
	  --no-build-isolation --no-deps torch-scatter > $(PEERS)/torch_scatter.log 2>&1 \
	  || echo "torch_scatter could not be built; see $(PEERS)/torch_scatter.log"
	@touch $@

bench-core: $(PEERS)/.installed ## time the kernels beside other libraries (builds .venv-peers once)
	$(PEERS_PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps -e .
	$(PEERS_PY) -m benchmarks.core --threads 1 --allocator pool

bench-meshes: $(PEERS)/.installed ## read real meshes and check them against other libraries; time; damage (builds .venv-peers once)
	$(PEERS_PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps -e .
	$(PEERS_PY) -m benchmarks.meshes.files
	$(PEERS_PY) -m benchmarks.meshes.peers
	$(ONE_THREAD) $(PEERS_PY) -m pytest -q tests/viz/test_in_vtk.py
	$(PEERS_PY) -m benchmarks.meshes.speed --write

bench-physics: $(PEERS)/.installed ## verify orders, exactness, physics, references, speed; writes docs/verification.md
	$(PEERS_PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps -e .
	$(ONE_THREAD) $(PEERS_PY) -m benchmarks.physics

bench-solvers: $(INSTALLED) ## a million unknowns beside pyamg and scipy, recycling, failures, flow, adaptivity, inverse problems
	$(ONE_THREAD) $(PY) -m benchmarks.solvers

bench-mechanics: $(INSTALLED) ## stresses, vibrations, coupled problems, topology, real meshes
	$(ONE_THREAD) $(PY) -m benchmarks.mechanics

bench-graph: $(INSTALLED) ## patterns, energies, node classification, depth, speed, checkpoints; writes docs/graph_diffusion.md
	$(ONE_THREAD) $(PY) -m benchmarks.graph

bench-flow: $(PEERS)/.installed ## gradients, solvers, densities, particles, surfaces, fields; writes docs/flow.md (builds .venv-peers once)
	$(PEERS_PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps -e .
	$(ONE_THREAD) $(PEERS_PY) -m benchmarks.flow

bench-hamiltonian: $(INSTALLED) ## symplectic steppers, what stays, particles, learned energies; writes docs/hamiltonian.md
	$(ONE_THREAD) $(PY) -m benchmarks.hamiltonian

lint: $(INSTALLED) ## check style, format and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy graphpde

clean: ## remove build products and caches; keeps .venv and runs/
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find graphpde tests -name __pycache__ -type d -prune -exec rm -rf {} +
