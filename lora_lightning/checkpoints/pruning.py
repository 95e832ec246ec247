"""Ending a job that promises less than the others of its sweep, at a validation."""

import lightning.pytorch as pl
from lightning.pytorch.trainer.states import TrainerFn

from lora_lightning.runs.pruners import Pruning
from lora_lightning.runs.trial import Trial
from lora_lightning.training.module import FineTuning


def is_pruned(trainer: pl.Trainer) -> bool:
    """Whether a run ended because its sweep's pruner said so; it may go on some day."""
    runs = (callback for callback in trainer.callbacks if isinstance(callback, PruneRun))  # type: ignore[attr-defined]
    return any(callback.update is not None for callback in runs)


class PruneRun(pl.Callback):
    """Reports each validation to the study, and ends the run where its pruner says so.

    Rank 0 reports and asks; all ranks end after the same update, as at the run's planned end.

    Args:
        trial: that the job is.
        pruning: who judges.
        metric: of a validation, by which.
    """

    def __init__(self, trial: Trial, pruning: Pruning, metric: str) -> None:
        self.trial = trial
        self.pruning = pruning
        self.metric = metric
        self.update: int | None = None  # after which the run was pruned

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Report; a run that has done all its updates is not judged any more."""
        assert isinstance(module, FineTuning)
        if trainer.state.fn != TrainerFn.FITTING or self.update is not None:
            return
        if module.micro_step >= module.plan.micro_steps:
            return
        ends = False
        if trainer.is_global_zero:
            value = module.latest[self.metric]
            ends = self.trial.should_be_pruned(self.pruning.pruner, module.update, value)
        if trainer.strategy.broadcast(ends):
            self.update = module.update
            trainer.should_stop = True
