"""Faults that befall the commands at random moments: `python -m tests.faults`."""

import os

# Before torch is imported, which the commands as forks take over: sums depend on it.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # as each command does
