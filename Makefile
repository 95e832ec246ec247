# make demo: from a fresh clone to an adapted model · make test: the whole test suite
# make sweep-demo: LoRA's rank × seed on the bundled sample, with table and page
# make methods-demo: every method on the bundled sample, some updates each, as one table
# make faults: hundreds of kills and faults of disks at random moments, up to an hour · make lint, types
# make docs: docs/config.md, docs/rooms.svg, tables of docs/methods.md · make pictures: the README's, some minutes
# make doctor: what works here
# make test-all: besides, the tests that are too long for every time
# make test-lowest: the tests that train little, with the oldest versions that pyproject.toml allows
# make gpu-traces: steps of training and search on fake GPU tensors; needs a CUDA build of torch, some gigabytes, no GPU
# make growth: memory over 200 jobs in one process, and of files 200 times as long
# make bench: all benchmarks that need no GPU, tables written anew; hours on a quiet machine
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
LOWEST := .venv-lowest
CUDA := .venv-cuda
FAST := tests/methods tests/gpt2 tests/training tests/decoding tests/data tests/config tests/cli \
	tests/evaluation/test_metrics.py tests/evaluation/test_metric_objects.py tests/test_ranges.py \
	tests/tasks/test_run.py
TEST := OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses auto --maxprocesses 8 \
	--dist loadfile --no-loadscope-reorder
DECODING_BENCHMARKS := speed profile reference test_set memory growth

.PHONY: demo sweep-demo methods-demo test test-all test-lowest gpu-traces lint faults types docs pictures doctor bench growth clean

demo: $(INSTALLED)
	$(PYTHON) -m lora_lightning.demo

sweep-demo: $(INSTALLED)
	$(PYTHON) -m lora_lightning.sweep.demo

methods-demo: $(INSTALLED)
	$(PYTHON) -m lora_lightning.methods_demo

# One thread a process: threads of several processes that wait for each other crawl.
test: $(INSTALLED)
	$(TEST)

test-all: $(INSTALLED)
	$(TEST) -m ''

# In an environment of its own; torch's oldest wheel brings CUDA, some gigabytes.
test-lowest:
	test -x $(LOWEST)/bin/uv || { python3 -m venv $(LOWEST) && $(LOWEST)/bin/pip install --quiet uv; }
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python \
		--resolution lowest-direct -e '.[dev]'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest --numprocesses auto --maxprocesses 8 \
		--dist loadfile $(FAST)

gpu-traces:
	test -d $(CUDA) || python3 -m venv $(CUDA)
	$(CUDA)/bin/pip install --quiet -e '.[dev]'
	$(CUDA)/bin/python -m pytest tests/gpt2/test_fake_gpu.py

faults: $(INSTALLED)
	$(PYTHON) -m tests.faults --write

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

types: $(INSTALLED)
	$(VENV)/bin/mypy

docs: $(INSTALLED)
	$(PYTHON) -m lora_lightning.config_reference
	$(PYTHON) -m docs.rooms
	$(PYTHON) -m docs.method_tables

pictures: $(INSTALLED)
	$(PYTHON) -m docs.pictures

doctor: $(INSTALLED)
	$(PYTHON) -m lora_lightning.doctor

bench: $(INSTALLED)
	$(PYTHON) -m pip install --quiet -c constraints.txt -e '.[bench]'
	$(PYTHON) benchmarks/training.py --write
	$(PYTHON) benchmarks/training.py peft bound profile packed command growth --dtype bfloat16 --write
	$(PYTHON) benchmarks/methods.py --write
	for program in $(DECODING_BENCHMARKS); do $(PYTHON) benchmarks/decoding.py $$program --write || exit; done
	for program in speed profile; do $(PYTHON) benchmarks/decoding.py $$program --dtype bfloat16 --write || exit; done
	$(PYTHON) -m benchmarks.evaluation --write
	$(PYTHON) benchmarks/comparison.py times --write
	$(PYTHON) -m benchmarks.startup --write
	for program in overhead grid; do $(PYTHON) benchmarks/sweeps.py $$program --write || exit; done
	$(PYTHON) benchmarks/one_pass.py --write
	$(PYTHON) benchmarks/summary.py

growth: $(INSTALLED)
	OMP_NUM_THREADS=1 $(PYTHON) benchmarks/growth.py --write

clean:
	rm -rf $(VENV) $(LOWEST) $(CUDA) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(INSTALLED): pyproject.toml constraints.txt install.sh
	sh install.sh
	touch $@
