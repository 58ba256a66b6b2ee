PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STUDY = $(filter-out %/setting.py,$(wildcard examples/study/*.py))

ENVIRONMENTS ?= main sinabs spikingjelly-0.0.0.0.14
ENVIRONMENT = $(VENV)-frameworks-

.PHONY: demo test test-processors test-faults test-frameworks bench check docs examples clean

demo: $(VENV)/.installed
	$(BIN)/art-snn demo

test: $(VENV)/.test
	$(BIN)/pytest -n 2

test-processors: $(VENV)/.test
	$(BIN)/python tests/processors.py $(ARGS)

test-faults: $(VENV)/.test
	$(BIN)/python -m tests.faults $(ARGS)

test-frameworks: $(ENVIRONMENTS:%=$(ENVIRONMENT)%/.installed)
	@set -e; for name in $(ENVIRONMENTS); do \
		echo "$$name"; $(ENVIRONMENT)$$name/bin/python -m pytest -n 2 tests/frameworks $(ARGS); done

bench: $(VENV)/.test
	$(BIN)/python -m tests.bench $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

examples: $(VENV)/.dev
	@set -e; for script in examples/*.py examples/frameworks/attack_plain.py $(STUDY); do echo "$$script"; $(BIN)/python $$script --small; done
	$(BIN)/python -m nbconvert --to notebook --execute --output-dir "$$(mktemp -d)" examples/tutorial.ipynb

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

# Most of the frameworks' dependencies no test imports: the files name those that one does.
$(ENVIRONMENT)%/.installed: tests/frameworks/environments/%.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	echo '*' > $(@D)/.gitignore
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

clean:
	rm -rf $(VENV) $(ENVIRONMENT)* docs/_build build dist
