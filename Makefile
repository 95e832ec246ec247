# make demo: from a fresh clone to an adapted model · make test: the whole test suite
# make lint, types · make docs: docs/config.md · make doctor: what works here · make bench: all
# benchmarks that need no GPU, an hour and more on a quiet machine
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
DECODING_BENCHMARKS := speed reference test_set memory growth

.PHONY: demo test lint types docs doctor bench clean

demo: $(INSTALLED)
	$(PYTHON) -m lora_lightning.demo

test: $(INSTALLED)
	$(PYTHON) -m pytest

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

types: $(INSTALLED)
	$(VENV)/bin/mypy

docs: $(INSTALLED)
	$(PYTHON) -m lora_lightning.config_reference

doctor: $(INSTALLED)
	$(PYTHON) -m lora_lightning.doctor

bench: $(INSTALLED)
	$(PYTHON) -m pip install --quiet -c constraints.txt -e '.[bench]'
	$(PYTHON) benchmarks/training.py
	for program in $(DECODING_BENCHMARKS); do $(PYTHON) benchmarks/decoding.py $$program || exit; done
	$(PYTHON) benchmarks/evaluation.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@
