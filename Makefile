# make demo: from a fresh clone to an adapted model · make test: the whole test suite
# make sweep-demo: LoRA's rank × seed on the bundled sample, with table and page
# make faults: the tests of bad input, kills and restarts alone · make lint, types
# make docs: docs/config.md and docs/rooms.svg · make doctor: what works here
# make bench: all benchmarks that need no GPU, an hour and more on a quiet machine
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
DECODING_BENCHMARKS := speed reference test_set memory growth
FAULTS := tests/tasks/test_bad_input.py tests/tasks/test_resume.py tests/sweep/test_refusals.py

.PHONY: demo sweep-demo test lint faults types docs doctor bench clean

demo: $(INSTALLED)
	$(PYTHON) -m lora_lightning.demo

sweep-demo: $(INSTALLED)
	$(PYTHON) -m lora_lightning.sweep.demo

# One thread a process: threads of several processes that wait for each other crawl.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

faults: $(INSTALLED)
	$(PYTHON) -m pytest $(FAULTS)

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

types: $(INSTALLED)
	$(VENV)/bin/mypy

docs: $(INSTALLED)
	$(PYTHON) -m lora_lightning.config_reference
	$(PYTHON) -m docs.rooms

doctor: $(INSTALLED)
	$(PYTHON) -m lora_lightning.doctor

bench: $(INSTALLED)
	$(PYTHON) -m pip install --quiet -c constraints.txt -e '.[bench]'
	$(PYTHON) benchmarks/training.py
	$(PYTHON) benchmarks/training.py peft bound --dtype bfloat16
	for program in $(DECODING_BENCHMARKS); do $(PYTHON) benchmarks/decoding.py $$program || exit; done
	$(PYTHON) benchmarks/evaluation.py
	$(PYTHON) benchmarks/startup.py
	for program in overhead grid; do $(PYTHON) benchmarks/sweeps.py $$program || exit; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(INSTALLED): pyproject.toml constraints.txt install.sh
	sh install.sh
	touch $@
