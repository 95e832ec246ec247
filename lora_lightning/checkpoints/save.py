"""What a run leaves behind: checkpoints to go on from, adapters to decode with."""

import signal
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from lora_lightning.checkpoints.files import LAST
from lora_lightning.checkpoints.loop_state import (
    between_micro_batches,
    frozen_base,
    random_states,
    restore_random_state,
)
from lora_lightning.checkpoints.pruning import is_pruned
from lora_lightning.checkpoints.signals import SignalWatch
from lora_lightning.checkpoints.time_limit import is_time_up, wait_for_update
from lora_lightning.config.study import direction_of
from lora_lightning.config.typed import as_typed, for_shell
from lora_lightning.data.batches import Batches
from lora_lightning.errors import InputError, Interrupted
from lora_lightning.files import require_folder, size_on_disk
from lora_lightning.methods.adapter_files import save_adapter
from lora_lightning.methods.method import Method
from lora_lightning.process.programs import as_started
from lora_lightning.process.ranks import missing_ranks, named
from lora_lightning.training.module import FineTuning

ANSWER = timedelta(seconds=20)  # in which a rank that does not hang says that it is there


class SaveRun(Checkpoint):
    """Saves `checkpoints/last.ckpt` and `adapter/`, and the best of both by a metric.

    One callback writes both forms, so that `best.ckpt` and `adapter_best/` are always of the same
    update. `last.ckpt` is written between two updates only, when everything due is done: a run that
    goes on from it does what it would have done. As a `Checkpoint` it is called behind all other
    callbacks, so what they keep is up to date. Writes are atomic.

    Args:
        folder: the run folder.
        method: the method whose tensors the adapter holds.
        base: the base model's path or hub name, kept in the adapter's description.
        every: updates between two saves of `last.ckpt`; None saves after validations alone.
        described: `_target_` and arguments of the method, see `save_adapter`.
        best_by: the metric of a validation that decides what is best.
    """

    def __init__(
        self,
        folder: Path,
        method: Method,
        base: str,
        every: int | None = None,
        described: Mapping[str, Any] | None = None,
        best_by: str = "val/loss",
    ) -> None:
        self.folder = folder
        self.method = method
        self.base = base
        self.every = every
        self.described = described
        self.best_by = best_by
        self.least = float("inf")  # of the metric, negative where more of it is better
        self.has_ended = False
        self.is_out_of_time = False
        self._started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._resumed_at: list[int] = []
        self._seconds_before = 0.0
        self._began = time.time()
        self._is_due = False
        self._signals = SignalWatch()
        self._random_states: list[Any] | None = None

    def record(self) -> dict[str, Any]:
        """Return when training started, its seconds, and the updates after which it was resumed."""
        return {
            "started": self._started,
            "seconds": self._seconds_before + time.time() - self._began,
            "resumed_at": self._resumed_at,
        }

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Watch for signals, and take over the random numbers of an interrupted run.

        Only here, as making the loaders must not count.
        """
        self._began = time.time()
        self._signals.start(trainer.world_size)
        if self._random_states is not None:
            restore_random_state(self._random_states, trainer.global_rank)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        """Save where it is time to, unless a validation or the end comes first."""
        assert isinstance(module, FineTuning)
        plan, done = module.plan, module.micro_step
        if done < plan.micro_steps:
            wait_for_update(trainer, plan.is_update(done))
        is_validated = trainer.enable_validation and plan.is_validated(done)
        if not (is_validated or trainer.is_last_batch or done >= plan.micro_steps):
            self._between_updates(trainer, module)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Save, and keep apart what is best so far."""
        assert isinstance(module, FineTuning)
        if trainer.state.fn != TrainerFn.FITTING:
            return
        value = module.latest[self.best_by]
        value = value if direction_of(self.best_by) == "minimize" else -value
        if value < self.least:
            self.least = value
            self._save(trainer, module, "best.ckpt", "adapter_best")
        self._is_due = True
        if not trainer.is_last_batch:
            self._between_updates(trainer, module)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Save at the end of an epoch, after its validation."""
        assert isinstance(module, FineTuning)
        self._is_due = True
        self._between_updates(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Save what the last update left; a signal is obeyed afterwards."""
        assert isinstance(module, FineTuning)
        require_folder(self.folder)
        if trainer.is_global_zero:
            self._save_adapter(module, "adapter")
        self.has_ended = not is_pruned(trainer)  # once the adapter is there
        self.is_out_of_time = module.micro_step < module.plan.micro_steps and is_time_up(trainer)
        trainer.save_checkpoint(self.folder / LAST)
        received = self._signals.agreed()
        self._signals.stop()
        if received:
            raise self._interrupted(received, module)

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave signals to others again, and say which rank a collective waited for in vain.

        Raises:
            InputError: a collective's time was over, and a rank does not answer.
        """
        self._signals.stop()
        if "timed out" not in str(exception).lower():
            return
        if missing := missing_ranks("after a collective's time was over", ANSWER):
            raise InputError(
                f"{named(missing)} did not come to a collective in time, nor answers; look why it "
                f"hangs, and go on with: {as_started('python train.py')} "
                f"{for_shell(as_typed('resume', str(self.folder)))}"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {
            "best_loss": self.least,  # as it was called before there were other metrics
            "has_ended": self.has_ended,
            "is_out_of_time": self.is_out_of_time,
            **self.record(),
            "metrics_bytes": size_on_disk(self.folder / "metrics.csv"),
            "diagnostics_bytes": size_on_disk(self.folder / "diagnostics.csv"),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from an earlier run's state."""
        self.least = state_dict["best_loss"]
        self._started, self._seconds_before = state_dict["started"], state_dict["seconds"]
        self._resumed_at = [*state_dict["resumed_at"], *self._resumed_at]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add every rank's random numbers, and what data and base were."""
        assert isinstance(module, FineTuning)
        require_folder(self.folder)
        checkpoint["random_states"] = random_states()
        checkpoint["frozen_base"] = frozen_base(module.model)
        checkpoint["world_size"] = trainer.world_size
        data: Batches = trainer.datamodule  # type: ignore[attr-defined]
        checkpoint["data_sha256"] = data.rows.checksums()
        checkpoint["tokenizer_sha256"] = data.tokenizer.checksum
        if module.seat is not None:
            checkpoint["round"] = module.seat.round

    def on_load_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the random numbers for the start, and say where the loop stands."""
        self._random_states = checkpoint["random_states"]
        data: Batches = trainer.datamodule  # type: ignore[attr-defined]
        earlier = type(data.rows).__qualname__  # what an earlier version named their state by
        if earlier in checkpoint:
            data.load_state_dict(checkpoint[earlier])
        self._resumed_at = [checkpoint["update"]]  # the earlier ones follow with the state
        loops = checkpoint["loops"]
        loops["fit_loop"] = between_micro_batches(loops["fit_loop"])

    def _between_updates(self, trainer: pl.Trainer, module: FineTuning) -> None:
        """Save and end as is due; an unfinished group of micro-batches, or the end, comes first."""
        if trainer.should_stop or not module.plan.is_update(module.micro_step):
            return
        is_due = self._is_due or (self.every is not None and module.update % self.every == 0)
        if module.seat is not None and module.seat.is_save_due:
            is_due, module.seat.is_save_due = True, False
        received = self._signals.agreed()
        if is_due or received:
            trainer.save_checkpoint(self.folder / LAST)
            self._is_due = False
        if received:
            raise self._interrupted(received, module)

    def _interrupted(self, received: int, module: FineTuning) -> Interrupted:
        name, update, updates = signal.Signals(received).name, module.update, module.plan.updates
        return Interrupted(f"{name} ended training after update {update} of {updates}", received)

    def _save(self, trainer: pl.Trainer, module: FineTuning, checkpoint: str, adapter: str) -> None:
        trainer.save_checkpoint(self.folder / "checkpoints" / checkpoint)
        if trainer.is_global_zero:
            self._save_adapter(module, adapter)

    def _save_adapter(self, module: FineTuning, name: str) -> None:
        save_adapter(module.model, self.method, self.folder / name, self.base, self.described)
