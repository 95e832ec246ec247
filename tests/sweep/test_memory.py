"""What the process of a sweep still holds when a job is over."""

import gc
from typing import ClassVar
from weakref import WeakSet

from hydra.experimental.callback import Callback
from transformers import GPT2LMHeadModel

from tests.commands import run_command
from tests.tiny import DECODING, TRAINING


def models():
    return WeakSet(thing for thing in gc.get_objects() if isinstance(thing, GPT2LMHeadModel))


class ModelsOfJobs(Callback):
    """Hydra callback that counts the models which outlive their job; nothing else frees any."""

    left: ClassVar[list[int]] = []

    def on_job_start(self, **_):
        gc.disable()
        self.before = models()

    def on_job_end(self, **_):
        self.left.append(len(models() - self.before))
        gc.enable()


def test_a_job_of_a_sweep_leaves_no_model_behind(tmp_path):
    ModelsOfJobs.left.clear()
    run_command(
        "train", "-m", "method=lora,vera", *TRAINING, *DECODING, "then=[generate]",
        f"output_dir={tmp_path}", f"+hydra.callbacks.left._target_={__name__}.ModelsOfJobs",
    )  # fmt: skip
    assert ModelsOfJobs.left == [0, 0]
