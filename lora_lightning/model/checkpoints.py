"""What a run leaves behind: checkpoints to go on from, adapters to decode with."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.trainer.states import TrainerFn

from lora_lightning.methods.adapter_io import save_adapter
from lora_lightning.model.module import FineTuning


class SaveRun(pl.Callback):
    """Saves `checkpoints/last.ckpt` and `adapter/`, and the best of both by val/loss.

    One callback writes both forms, so that `best.ckpt` and `adapter_best/` are always of the same
    update. Writes are atomic.

    Args:
        folder: the run folder.
        method: the method whose tensors the adapter holds.
        base: the base model's path or hub name, kept in the adapter's description.
    """

    def __init__(self, folder: Path, method: Any, base: str) -> None:
        self.folder = folder
        self.method = method
        self.base = base
        self.best_loss = float("inf")

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Save, and keep apart what is best so far."""
        assert isinstance(module, FineTuning)
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if (loss := module.latest["val/loss"]) < self.best_loss:
            self.best_loss = loss
            self._save(trainer, module, "best.ckpt", "adapter_best")
        trainer.save_checkpoint(self.folder / "checkpoints" / "last.ckpt")

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Save what the last update left."""
        assert isinstance(module, FineTuning)
        self._save(trainer, module, "last.ckpt", "adapter")

    def state_dict(self) -> dict[str, float]:
        """Return what a resumed run must know."""
        return {"best_loss": self.best_loss}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Go on from an earlier run's best."""
        self.best_loss = state_dict["best_loss"]

    def _save(self, trainer: pl.Trainer, module: FineTuning, checkpoint: str, adapter: str) -> None:
        trainer.save_checkpoint(self.folder / "checkpoints" / checkpoint)
        if trainer.is_global_zero:
            save_adapter(module.model, self.method, self.folder / adapter, self.base)
