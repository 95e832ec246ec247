"""How long a training is, and whether its rows fit: said before anything slow starts."""

from typing import Any

from omegaconf import DictConfig

from lora_lightning.data.batches import Batches
from lora_lightning.errors import InputError
from lora_lightning.training.plan import TrainingPlan, micro_batches_between, plan_micro_steps


def plan_training(
    trainer: DictConfig, data: Batches, schedule: Any, world_size: int
) -> TrainingPlan:
    """Return the run's length and what happens when.

    Raises:
        InputError: the run would never update.
    """
    last = schedule.run_steps
    if last is not None and schedule.per == "optimizer_step":
        last *= trainer.accumulate_grad_batches
    return TrainingPlan(
        micro_steps=plan_micro_steps(
            data.micro_batches(trainer.max_epochs, world_size),
            trainer.max_steps,
            trainer.accumulate_grad_batches,
            last,
        ),
        accumulate_grad_batches=trainer.accumulate_grad_batches,
        gradient_clip_val=trainer.gradient_clip_val or 0.0,
        val_check_interval=micro_batches_between(
            trainer.val_check_interval, data.batches_per_epoch // world_size
        ),
        log_every_n_steps=trainer.log_every_n_steps,
    )


def check_length(data: Batches, positions: int) -> None:
    """Check that every training row fits the model.

    Raises:
        InputError: naming `data.max_length`.
    """
    longest = max(data.lengths("train"))
    if longest > positions:
        raise InputError(
            f"data.max_length={data.rows.max_length}: the longest training row has {longest} "
            f"tokens, the model {positions} positions; lower data.max_length to {positions}"
        )


def check_share(data: Batches, limit: float | None, world_size: int) -> None:
    """Check that a share of the validation batches is at least one of them.

    Raises:
        InputError: naming `trainer.limit_val_batches`.
    """
    if isinstance(limit, float) and limit > 0:
        batches = data.validation_batches(world_size)
        if int(batches * limit) == 0:
            raise InputError(
                f"trainer.limit_val_batches={limit}: is less than one of {batches} batches of "
                "validation; give a number of batches, a larger share, or 0 for no validation"
            )
