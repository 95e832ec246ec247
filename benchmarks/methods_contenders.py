"""Each option of PEFT's tuners as `train.py` runs it, and as PEFT and transformers run it."""

import copy
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from benchmarks.training_contenders import Ours, PeftFlattened, PeftPadded
from lora_lightning.config.build import build
from lora_lightning.config.compose import composed
from lora_lightning.gpt2.forward import require_packable
from lora_lightning.gpt2.projection import (
    GPT2Projection,
    pack_for_training,
    with_own_projections,
)
from lora_lightning.methods.method import begin_method, check_state, trainable_parameters
from lora_lightning.training.allocator import keep_freed_memory
from lora_lightning.training.loss import CompletionLoss
from lora_lightning.training.module import FineTuning
from lora_lightning.training.plan import TrainingPlan

UPDATES = 1000  # of the run that a step is said to be of
NATIVE = "lora"
"""The option that is compared with PEFT's LoRA on the same projections."""


def config_of(option: str) -> Any:
    """Return the config of `train.py method=<option>`."""
    own = ["method.targets=[c_attn]"] if option == NATIVE else []
    return composed("train", [f"method={option}", *own])


class OursOf(Ours):
    """The step of `train.py`: its model, method, hooks, loss and packing, from its own config.

    Args:
        option: of `method=`.
    """

    def __init__(self, option: str, base: GPT2LMHeadModel, device: torch.device) -> None:
        self.config = config_of(option)
        self.updates = 0
        super().__init__(base, device)
        self.trained = trainable_parameters(base)

    def build(self, base: GPT2LMHeadModel) -> None:
        """Do to the base what the command does, in its order."""
        keep_freed_memory()
        with_own_projections(base)
        method = build(self.config.method)
        method.apply(base)
        require_packable(base)
        check_state(method, base)
        begin_method(method, base, UPDATES)
        pack_for_training(base, self.config.model.packed, self.device)
        assert any(type(module) is GPT2Projection for module in base.modules())
        plan = TrainingPlan(UPDATES)
        loss = build(self.config.loss)
        assert isinstance(loss, CompletionLoss)
        optimizer, schedule = build(self.config.optimizer), build(self.config.scheduler)
        self.criterion, self.model = loss, base
        self.module = FineTuning(base, loss, optimizer, schedule, plan, method=method)

    def loss(self, batch: Any) -> Tensor:
        """What `FineTuning.training_step` hands to the backward pass of a part."""
        loss = self.module.training_loss(batch)[0]
        penalty = self.module._call_hook("extra_loss")
        return loss if penalty is None else loss + batch.share * penalty

    def step(self, batch: Any) -> Tensor:
        """Train on one batch, and let the method follow the update."""
        loss = self.backward(batch)
        self.optimizer.step()
        self.updates += 1
        self.module._call_hook("after_step", self.updates)
        self.optimizer.zero_grad()
        return loss


class _Peft:
    """The same configuration, put into transformers' model by PEFT."""

    device: torch.device
    model: Any
    optimizer: Any

    def __init__(self, option: str, base: GPT2LMHeadModel, device: torch.device) -> None:
        self.option, self.updates = option, 0
        super().__init__(base, device)  # type: ignore[call-arg]

    def build(self, base: GPT2LMHeadModel) -> None:
        """Let PEFT put in its layers."""
        from peft import LoraConfig, get_peft_model

        node = config_of(self.option).method
        if self.option == NATIVE:
            config: Any = LoraConfig(
                r=node.rank, lora_alpha=node.alpha, lora_dropout=node.dropout,
                target_modules=["c_attn"], fan_in_fan_out=True,
            )  # fmt: skip
        else:
            config = copy.deepcopy(build(node).config)
        config.task_type = "CAUSAL_LM"
        if hasattr(config, "total_step"):
            config.total_step = UPDATES
        self.model = get_peft_model(base, config)

    def step(self, batch: Any) -> Tensor:
        """Train on one batch, as PEFT's documentation has it for AdaLoRA."""
        loss: Tensor = self.backward(batch)  # type: ignore[attr-defined]
        self.optimizer.step()
        self.updates += 1
        if self.option == "adalora":
            self.model.base_model.update_and_allocate(self.updates)
        self.optimizer.zero_grad()
        return loss


class PeftPaddedOf(_Peft, PeftPadded):
    """Rows padded to the longest."""


class PeftFlattenedOf(_Peft, PeftFlattened):
    """Rows joined by transformers' padding-free collator."""
