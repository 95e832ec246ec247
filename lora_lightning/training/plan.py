"""How long a run is, and what happens when."""

from dataclasses import dataclass

from lora_lightning.errors import InputError


@dataclass(frozen=True)
class TrainingPlan:
    """The length of a run and the counts that steer it.

    A micro-step is one micro-batch on each rank; an update is one optimizer step. Both counts go on
    over epochs, so an unfinished accumulation group carries over, as in the reference.

    Attributes:
        micro_steps: micro-batches of the whole run.
        accumulate_grad_batches: micro-batches an update.
        gradient_clip_val: largest norm of the accumulated, rank-averaged gradient; 0 is off.
        val_check_interval: micro-batches between validations within an epoch; None for none.
        log_every_n_steps: updates between two logged rows.
    """

    micro_steps: int
    accumulate_grad_batches: int = 1
    gradient_clip_val: float = 0.0
    val_check_interval: int | None = None
    log_every_n_steps: int = 1

    @property
    def updates(self) -> int:
        """Updates of the whole run; an unfinished group at its end is lost."""
        return self.micro_steps // self.accumulate_grad_batches

    def total_steps(self, per: str) -> int:
        """Return the run's length in the unit that a schedule counts in."""
        return self.micro_steps if per == "micro_step" else self.updates

    def is_update(self, micro_step: int) -> bool:
        """Whether the optimizer steps after micro-batch number `micro_step` (from 1)."""
        return micro_step % self.accumulate_grad_batches == 0

    def is_validated(self, micro_step: int) -> bool:
        """Whether a validation within an epoch follows micro-batch number `micro_step` (from 1)."""
        interval = self.val_check_interval
        return interval is not None and micro_step % interval == 0

    def is_logged(self, update: int) -> bool:
        """Whether update number `update` (from 1) gets a row."""
        return update % self.log_every_n_steps == 0 or update in (1, self.updates)


def micro_batches_between(interval: float | None, epoch: int) -> int | None:
    """Return the micro-batches between two validations within an epoch, None for none.

    Args:
        interval: `trainer.val_check_interval`: their number, or as a float the share of an epoch.
        epoch: micro-batches of an epoch on each rank.
    """
    if not isinstance(interval, float):
        return interval
    return max(1, int(epoch * interval))


def plan_micro_steps(
    by_epochs: int, max_updates: int | None, accumulate: int, by_schedule: int | None = None
) -> int:
    """Return the micro-batches of a run that ends at whichever limit comes first.

    Args:
        by_epochs: micro-batches of `trainer.max_epochs` epochs.
        max_updates: `trainer.max_steps`.
        accumulate: micro-batches an update.
        by_schedule: micro-batches after which the schedule ends the run (cyclic).

    Raises:
        InputError: not one update would happen.
    """
    limits = [by_epochs, by_schedule, None if max_updates is None else max_updates * accumulate]
    micro_steps = min(limit for limit in limits if limit is not None)
    if micro_steps < accumulate:
        raise InputError(
            f"trainer.accumulate_grad_batches={accumulate}: the run has only {micro_steps} "
            "micro-batches, so it would never update; lower it, or raise trainer.max_epochs"
        )
    return micro_steps
