PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DIST ?= dist
PACKAGE = $(VENV)-package
STUDY = $(filter-out %/setting.py %_network.py,$(wildcard examples/study/*.py))

ENVIRONMENTS ?= main sinabs spikingjelly-0.0.0.0.14
ENVIRONMENT = $(VENV)-frameworks-
GPU = $(VENV)-gpu
OFFLINE = $(GPU)/bin/python -m pip install --quiet --disable-pip-version-check --no-index --find-links "$(abspath $(WHEELS))"

.PHONY: demo test test-all test-processors test-faults test-frameworks test-device zoo-check bench gpu-check check docs package examples examples-alone examples-study notebooks clean

demo: $(VENV)/.installed
	$(BIN)/art-snn demo

test: $(VENV)/.test
	$(BIN)/pytest -n 2 --dist worksteal

# Also what is marked slow.
test-all: $(VENV)/.test
	$(BIN)/pytest -n 2 --dist worksteal -m "slow or not slow"

test-processors: $(VENV)/.test
	$(BIN)/python tests/processors.py $(ARGS)

test-faults: $(VENV)/.test
	$(BIN)/python -m tests.faults $(ARGS)

# What is installed there comes before these sources, which append puts behind it.
test-frameworks: $(ENVIRONMENTS:%=$(ENVIRONMENT)%/.installed)
	@set -e; for name in $(ENVIRONMENTS); do \
		echo "$$name"; $(ENVIRONMENT)$$name/bin/pytest --import-mode=append -n 2 --dist worksteal tests/frameworks $(ARGS); done

# Every network of the zoo: its files, its hashes and its accuracy.
zoo-check: $(VENV)/.test
	$(BIN)/pytest tests/zoo/test_shipped.py $(ARGS)

# On a stand-in for CUDA, where g++ can build it; otherwise says why not.
test-device: $(VENV)/.test
	$(BIN)/python -m tests.device $(ARGS)

bench: $(VENV)/.test
	$(BIN)/python -m tests.bench $(ARGS)

gpu-check: $(GPU)/.installed
	$(GPU)/bin/python -m tests.gpu_check $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

package: $(DIST)/.built

examples: examples-alone examples-study

examples-alone: $(VENV)/.dev
	@set -e; for script in examples/*.py examples/frameworks/attack_plain.py; do echo "$$script"; $(BIN)/python $$script --small; done
	$(BIN)/python -m nbconvert --to notebook --execute --output-dir "$$(mktemp -d)" \
		examples/tutorial.ipynb examples/events.ipynb

# One after the other: they share the networks that they train.
examples-study: $(VENV)/.dev
	@set -e; for script in $(STUDY); do echo "$$script"; $(BIN)/python $$script --small; done

# Writes their outputs, without torch's word about Triton; make test-frameworks runs the one of SpikingJelly.
notebooks: $(ENVIRONMENT)main/.installed
	$(ENVIRONMENT)main/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[notebook]'
	TORCH_LOGS=-torch $(ENVIRONMENT)main/bin/python -m nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False examples/*.ipynb

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/.test $(VENV)/.installed

$(PACKAGE)/.installed:
	$(PYTHON) -m venv $(PACKAGE)
	echo '*' > $(PACKAGE)/.gitignore
	$(PACKAGE)/bin/python -m pip install --quiet --disable-pip-version-check build twine
	touch $@

# The sdist, and the wheel of what lies in the sdist.
$(DIST)/.built: pyproject.toml hatch_build.py README.md $(shell find art_snn -type f ! -name '*.pyc') | $(PACKAGE)/.installed
	rm -f $(DIST)/art_snn-*
	$(PACKAGE)/bin/python -m build --outdir $(DIST)
	$(PACKAGE)/bin/twine check --strict $(DIST)/art_snn-*
	touch $@

# The frameworks run on these sources, or with INSTALL=wheel on what users install.
ifeq ($(INSTALL),wheel)
INSTALLED = "$$(ls $(DIST)/art_snn-*.whl)[test]"
$(ENVIRONMENTS:%=$(ENVIRONMENT)%/.installed): $(DIST)/.built
else
INSTALLED = --editable '.[test]'
endif

# Most of the frameworks' dependencies no test imports: the files name those that one does.
$(ENVIRONMENT)%/.installed: tests/frameworks/environments/%.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	echo '*' > $(@D)/.gitignore
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(INSTALLED)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

# Without a network: every wheel, those of the build included, lies in the folder WHEELS. The
# frameworks, which art-snn cost also measures, are installed where it has them.
$(GPU)/.installed: pyproject.toml
	@test -d "$(WHEELS)" || { echo "Name the folder of the wheels: make gpu-check WHEELS=folder" >&2; exit 2; }
	$(PYTHON) -m venv $(GPU)
	echo '*' > $(GPU)/.gitignore
	$(OFFLINE) --editable '.[test]'
	if ls "$(WHEELS)"/spikingjelly-*.whl > /dev/null 2>&1; then \
		$(OFFLINE) --no-deps --requirement tests/frameworks/environments/main.txt; fi
	touch $@

clean:
	rm -rf $(VENV) $(ENVIRONMENT)* $(PACKAGE) $(GPU) docs/_build docs/_api build dist .device
