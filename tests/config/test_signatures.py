"""A class of the user's own takes the arguments with which its functions are called."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger

from lora_lightning.config.allowed import require_kind
from lora_lightning.config.signatures import check_function
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.errors import InputError
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.training.loss import CompletionLoss
from lora_lightning.training.optimizers import OptimizerMaker


def kind(*bases, **functions):
    """A class with functions of its own, as a user would write it."""
    return type("Mine", bases, functions)


METHOD = {"apply": lambda self, model: None, "parameter_table": lambda self, model: []}
DATA = {"path": lambda self, split: None, "read": lambda self, path: []}
SCHEDULE = {"per": "optimizer_step", "warmup_steps": 0, "run_steps": None}


@pytest.mark.parametrize(("place", "found", "said"), [
    ("method", kind(**METHOD | {"apply": lambda self: None}), "called as apply(model); let"),
    ("method", kind(**METHOD | {"parameter_table": lambda self, model, more: []}), "(model); let"),
    ("method", kind(**METHOD, state=lambda self: {}), "state(self) is called as state(model)"),
    ("method", kind(LoRA, after_step=lambda self, model: None), "as after_step(model, update)"),
    ("method", kind(**METHOD, begin=lambda self, model, *, updates: None), "begin(model, updates)"),
    ("data", kind(DataToTextModule, **DATA | {"read": lambda self: []}), "is called as read(path)"),
    ("data", kind(DataToTextModule, path=DATA["path"]), "has no read(path) of its own; write it"),
    ("protocol", kind(E2EProtocol, scorer=lambda self, texts: None), "scorer(segments, java); let"),
    ("optimizer", kind(torch.optim.SGD, step=lambda self: None), "is called as step(closure)"),
    ("optimizer", kind(OptimizerMaker, __call__=lambda self: None), "(named_parameters); let"),
    ("optimizer", kind(OptimizerMaker), "has no __call__(named_parameters) of its own"),
    ("scheduler", kind(**SCHEDULE, factor=lambda self, t: 1.0), "(t, base_lr, total_steps); let"),
    ("loss", kind(CompletionLoss, labelled=lambda self: None), "is called as labelled(batch)"),
    ("callbacks.x", kind(Callback, on_train_start=lambda self: None), "(trainer, pl_module)"),
    ("callbacks.x", kind(Callback, on_train_start=staticmethod(lambda one: None)), "(trainer, p"),
    ("logger.x", kind(CSVLogger, log_metrics=lambda self, metrics: None), "metrics(metrics, step)"),
])  # fmt: skip
def test_a_function_that_takes_other_arguments_is_named_with_those_it_gets(place, found, said):
    with pytest.raises(InputError) as raised:
        require_kind(place, "lab.Mine", found)
    [line] = str(raised.value).splitlines()
    assert line.startswith(f"{place}._target_=lab.Mine: ")
    assert said in line


@pytest.mark.parametrize(("place", "found"), [
    ("method", kind(**METHOD)),
    ("method", kind(**METHOD | {"apply": lambda self, *anything, **more: None})),
    ("method", kind(**METHOD | {"apply": staticmethod(lambda base: None)})),
    ("method", kind(**METHOD | {"apply": classmethod(lambda cls, base, width=3: None)})),
    ("method", kind(**METHOD, state=None)),
    ("data", kind(DataToTextModule, **DATA)),
    ("optimizer", kind(torch.optim.SGD, zero_grad=lambda self: None)),
    ("optimizer", torch.optim.AdamW),
    ("callbacks.x", kind(Callback, on_train_batch_end=lambda self, *_: None)),
])  # fmt: skip
def test_a_function_that_takes_them_passes_however_it_names_them(place, found):
    require_kind(place, "lab.Mine", found)


def test_a_function_that_makes_an_optimizer_takes_the_parameters_first():
    check_function("optimizer", "lab.mine", lambda named, lr: None, ["lr"])
    with pytest.raises(InputError, match="is called with the named parameters first, lr="):
        check_function("optimizer", "lab.mine", lambda lr: None, ["lr"])
