PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo bench test test-commands test-ray test-data test-faults test-interleavings test-services mutants siglip-pico check clean

setup: $(VENV)/.installed

# One install for everything: the pinned versions are those that the tests pass with.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

demo: setup
	$(BIN)/python demo/run.py

# In two processes; each of the other suites starts servers or clusters, and runs alone.
test: setup
	$(BIN)/python -m pytest -n 2 $(addprefix --ignore=tests/,jobs on_ray shared_data faults interleavings services)

# The commands, nearly each run a process of its own.
test-commands: setup
	$(BIN)/python -m pytest -n 2 tests/jobs

# On a real Ray cluster of this machine; SIGLANE_CASES cases of each test (all).
test-ray: setup
	$(BIN)/python -m pytest tests/on_ray

# On the real photos of ../shared/data, which may not be committed; skipped where they are absent.
test-data: setup
	$(BIN)/python -m pytest tests/shared_data

# Drivers killed at each step around a commit, and SIGLANE_KILLS (80) times at random moments; workers, nodes, signals,
# a suspended run and a full disk, in proportion; scores, dedups and filters too; stores that fail.
test-faults: setup
	$(BIN)/python -m pytest tests/faults

# The table's own code in every order of its steps, up to a bound, and at random beyond it: two and three processes on a
# table of a few rows. SIGLANE_SCHEDULES (100) schedules of each pair or triple, of SIGLANE_SCENARIOS (all) of them.
test-interleavings: setup
	$(BIN)/python -m pytest -n 2 tests/interleavings

# On a real S3 server, Ceph's object gateway, started on loopback and killed too, and in a real browser, Chromium: both
# are installed from Debian's packages (as root). And on Azure's emulator, Azurite, where there is npm to install it.
test-services: setup
	tests/services/install.sh
	$(BIN)/python -m pytest tests/services

# Faults put into a copy of the code one at a time, tests/mutants/*.toml: the tests must notice nearly all. It takes about
# half an hour, and longer where many survive their own test files.
mutants: setup
	$(BIN)/python tests/mutants/run.py

# Every claim of speed, beside its competitors, into benchmarks/RESULTS.md. It wants a machine to itself.
bench: setup
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,bench]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps daft==0.7.26
	$(BIN)/python -m benchmarks.results

# The bundled checkpoint from scratch, into out/siglip-pico. It wants bfloat16 units and a machine
# to itself: docs/contributing/siglip-pico.md tells how long it takes.
siglip-pico: setup
	$(BIN)/siglane train --config configs/siglip-pico.yaml --output out/siglip-pico-apart
	$(BIN)/siglane train --config configs/siglip-pico-together.yaml --model out/siglip-pico-apart --output out/siglip-pico

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) out
