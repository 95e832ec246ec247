"""A job's start does not pay for packages that it never uses."""

import subprocess
import sys

from tests.goldens import ROOT

PROGRAM = """
import sys
from lora_lightning.cli.quick_imports import import_lightning
import_lightning()
import lora_lightning.tasks.train
unused = {"scipy", "matplotlib", "wandb", "tensorboard", "sacrebleu", "pandas", "peft"}
print(*(unused & sys.modules.keys()))
import matplotlib.pyplot, scipy.signal
"""


def test_training_imports_no_package_before_it_is_needed_and_later_finds_it():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
