"""Trainings of a small GPT-2, by themselves or side by side."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from lora_lightning.data.batching import collate
from lora_lightning.gpt2.forward import Execution
from lora_lightning.methods.base import trained_tensors
from lora_lightning.one_pass.engine import Pass
from lora_lightning.training.loss import CompletionLoss
from lora_lightning.training.module import FineTuning
from lora_lightning.training.parts import parts_of
from lora_lightning.training.plan import TrainingPlan
from lora_lightning.training.seat import SEAT
from tests.gpt2.test_forward import make_rows
from tests.methods.models import small_gpt2


@dataclass(frozen=True)
class Settings:
    method: Any
    optimizer: Any = torch.optim.AdamW
    lr: float = 1e-2
    seed: int = 0
    rows: int = 2
    updates: int = 3
    accumulate: int = 1
    smoothing: float = 0.0
    clip: float = 0.0
    validates: bool = False
    checkpoints: bool = False


@dataclass
class Trained:
    losses: list[float] = field(default_factory=list)
    validated: list[float] = field(default_factory=list)
    random: Any = None
    model: Any = None

    @property
    def adapter(self):
        return trained_tensors(self.model)


def training(settings: Settings):
    """Return a function that trains, in whichever seat it finds itself."""

    def train() -> Trained:
        model, trained = small_gpt2(n_positions=64), Trained()
        torch.manual_seed(settings.seed)
        settings.method.apply(model)
        loss = CompletionLoss(label_smoothing=settings.smoothing)
        plan = TrainingPlan(settings.updates * settings.accumulate, settings.accumulate)
        execution = Execution(gradient_checkpointing=settings.checkpoints)
        module = FineTuning(model.train(), loss, settings.optimizer, None, plan, execution)
        module.seat = SEAT.get()
        if module.seat is not None:
            module.seat.take(model, torch.device("cpu"))
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = settings.optimizer(parameters, lr=settings.lr)
        for step in range(plan.micro_steps):
            batch = batch_of(settings, step)
            for part in parts_of(batch, loss.positions(batch)):
                losses = module.training_loss(part)
                module.backward(losses.smoothed / settings.accumulate)
                trained.losses.append(losses.smoothed.item())
            if (step + 1) % settings.accumulate == 0:
                if settings.clip:
                    torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
                optimizer.step()
                optimizer.zero_grad()
                if settings.validates:
                    trained.validated.append(validated(module, batch))
        trained.random, trained.model = torch.get_rng_state(), model
        return trained

    return train


@torch.inference_mode()
def validated(module, batch):
    module.model.eval()
    module.validation_step(batch, 0)
    module.model.train()
    return module._validated.pop()[0].item()


def batch_of(settings: Settings, step: int):
    generator = torch.Generator().manual_seed(100 * settings.seed + step)
    lengths = torch.randint(2, 12, (settings.rows, 2), generator=generator).tolist()
    rows = make_rows(lengths, seed=100 * settings.seed + step)
    return collate(rows, range(settings.rows))


def side_by_side(each, at_once=None):
    """Run all in one pass, in which none may fall back to itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lora_lightning.one_pass.engine.first_line", fail)
        return Pass([training(settings) for settings in each], at_once).run()


def fail(error):
    raise AssertionError("the jobs cannot go together") from error


def alone(settings: Settings) -> Trained:
    return training(settings)()
