"""Checkpoints on disk: whole or not there, and read without running code."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lora_lightning.files import atomic_path


class AtomicCheckpoints(TorchCheckpointIO):
    """How Lightning's Trainer writes and reads checkpoints."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint; a process killed meanwhile leaves the earlier one as it was."""
        with atomic_path(Path(path), lasting=True) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Read plain values and tensors, onto the CPU."""
        return torch.load(path, map_location="cpu", weights_only=True)
