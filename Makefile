PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DIST ?= dist
OLDEST = $(VENV)-oldest
PACKAGE = $(VENV)-package
PIP = -m pip install --quiet --disable-pip-version-check
PYTEST = $(BIN)/pytest -n 2 --dist worksteal
STUDY = $(filter-out %/setting.py %_network.py,$(wildcard examples/study/*.py))

ENVIRONMENTS ?= main sinabs spikingjelly-0.0.0.0.14
ENVIRONMENT = $(VENV)-frameworks-

.PHONY: demo test test-all test-processors test-oldest test-frameworks test-gpu check docs package wheel examples notebooks clean

demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py

test: $(VENV)/.test
	$(PYTEST) $(ARGS)

# Also what is marked slow: trainings, processes, browsers.
test-all: $(VENV)/.test
	$(PYTEST) -m "slow or not slow" $(ARGS)

# As a processor with other instructions runs them, on other networks.
test-processors: $(VENV)/.test
	ONEDNN_MAX_CPU_ISA=SSE41 ATEN_CPU_CAPABILITY=default ART_SNN_TEST_SEED=1 $(PYTEST) $(ARGS)

# On the oldest torch, torchvision and numpy that pyproject.toml admits.
test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/pytest -n 2 --dist worksteal $(ARGS)

test-frameworks: $(ENVIRONMENTS:%=$(ENVIRONMENT)%/.installed)
	@set -e; for name in $(ENVIRONMENTS); do echo "$$name"; \
		$(ENVIRONMENT)$$name/bin/pytest -n 2 --dist worksteal -m "slow or not slow" tests/frameworks $(ARGS); done

test-gpu: $(VENV)/.test
	$(BIN)/pytest -m gpu $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

# The sdist, and the wheel of what lies in the sdist.
package: $(PACKAGE)/.installed
	rm -f $(DIST)/art_snn-*
	$(PACKAGE)/bin/python -m build --outdir $(DIST)
	$(PACKAGE)/bin/twine check --strict $(DIST)/art_snn-*

# What users install runs outside of the checkout.
wheel: $(VENV)/.dev
	@set -e; folder="$$(mktemp -d)"; python="$$(realpath -s $(BIN)/python)"; \
		"$$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$$folder" .; \
		"$$python" $(PIP) --no-deps --target "$$folder/site" "$$folder"/art_snn-*.whl; \
		cd "$$folder"; PYTHONPATH=site "$$python" -m art_snn --version; \
		PYTHONPATH=site "$$python" -m art_snn evaluate --help > /dev/null

# One after the other: those of the study share the networks that they train.
examples: $(VENV)/.dev
	@set -e; for script in examples/*.py examples/frameworks/attack_plain.py examples/frameworks/attack_any_neuron.py $(STUDY); do echo "$$script"; $(BIN)/python $$script --small; done

# Writes the outputs of the lessons, without torch's word about Triton; make test-frameworks runs them.
notebooks: $(ENVIRONMENT)main/.installed
	$(ENVIRONMENT)main/bin/python $(PIP) --editable '.[notebook]'
	TORCH_LOGS=-torch $(ENVIRONMENT)main/bin/python -m nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False docs/lessons/*.ipynb

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python $(PIP) --editable .
	touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml
	$(BIN)/python $(PIP) --editable '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python $(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.test $(VENV)/.installed

$(PACKAGE)/.installed:
	$(PYTHON) -m venv $(PACKAGE)
	$(PACKAGE)/bin/python $(PIP) build twine
	touch $@

$(OLDEST)/.installed: tests/oldest.txt pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	echo '*' > $(OLDEST)/.gitignore
	$(OLDEST)/bin/python $(PIP) --constraint $< --editable '.[test]'
	touch $@

# Most of the frameworks' dependencies no test imports: the files name those that one does.
$(ENVIRONMENT)%/.installed: tests/frameworks/environments/%.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	echo '*' > $(@D)/.gitignore
	$(@D)/bin/python $(PIP) --editable '.[test]'
	$(@D)/bin/python $(PIP) --no-deps --requirement $<
	touch $@

clean:
	rm -rf $(VENV) $(ENVIRONMENT)* $(OLDEST) $(PACKAGE) docs/_build docs/_api docs/_notebooks build dist
