"""Checkpoints on disk: whole or not there, checked on reading, and read without running code."""

import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lora_lightning.checksum import append_checksum, require_intact
from lora_lightning.errors import InputError, first_line
from lora_lightning.files import atomic_path, link_or_copy

LAST = Path("checkpoints", "last.ckpt")
PREVIOUS = Path("checkpoints", "last-previous.ckpt")


class AtomicCheckpoints(TorchCheckpointIO):
    """How Lightning's Trainer writes and reads checkpoints."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint; a process killed meanwhile leaves the earlier one as it was.

        `last.ckpt` takes its place only when the one before has the name `last-previous.ckpt`.
        """
        path = Path(path)
        with atomic_path(path, lasting=True) as temporary:
            torch.save(checkpoint, temporary)
            append_checksum(temporary)
            if path.name == LAST.name and path.is_file():
                copy_checkpoint(path, path.with_name(PREVIOUS.name))

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Read plain values and tensors, onto the CPU."""
        return read_checkpoint(Path(path))


def copy_checkpoint(source: Path, target: Path) -> None:
    """Give a checkpoint a second name, atomically."""
    with atomic_path(target) as temporary:
        link_or_copy(source, temporary)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running code.

    Raises:
        InputError: it is damaged, or no checkpoint.
    """
    try:
        require_intact(path)
        with warnings.catch_warnings(action="ignore"):  # of bytes that are no pickle
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # what is no checkpoint fails within torch in many ways
        raise InputError(f"{path}: no checkpoint, or a damaged one ({first_line(error)})") from None
    if not isinstance(saved, dict):
        raise InputError(f"{path}: no checkpoint, but a {type(saved).__name__}")
    return saved
