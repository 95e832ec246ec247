"""A training run to go on with: what it saved, and whether it would come to the same numbers."""

import logging
import os
import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2LMHeadModel

from lora_lightning.checkpoints.loop_state import frozen_base
from lora_lightning.checkpoints.same_run import altered_values
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.errors import InputError, first_line
from lora_lightning.files import atomic_text
from lora_lightning.runs.folder import RunFolder
from lora_lightning.tracking.metrics_file import drop_rows_after
from lora_lightning.training.plan import TrainingPlan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResumedRun:
    """A run and its last checkpoint.

    Attributes:
        run: the folder.
        saved: the checkpoint's content.
        may_change: whether the user wants to go on with other numbers.
        is_altered: whether the config would give other numbers than the run's own.
    """

    run: RunFolder
    saved: dict[str, Any]
    may_change: bool
    is_altered: bool

    @property
    def saved_run(self) -> dict[str, Any]:
        """What `SaveRun` keeps of a run."""
        state: dict[str, Any] = self.saved["callbacks"]["SaveRun"]
        return state

    def has_ended(self, plan: TrainingPlan) -> bool:
        """Whether nothing is left to train, also by a plan that was lengthened since."""
        micro_step = self.saved["micro_step"]
        return micro_step >= plan.micro_steps or (
            self.saved_run["has_ended"] and plan.micro_steps == self.saved["planned_micro_steps"]
        )

    def check(self, data: DataToTextModule, model: GPT2LMHeadModel, world_size: int) -> None:
        """Check what the config does not say: the number of ranks, the base and the data itself.

        Raises:
            InputError: they are not the run's, and `may_change` is false.
        """
        changes = []
        if world_size != self.saved["world_size"]:
            changes.append(f"number of ranks {self.saved['world_size']} → {world_size}")
        if frozen_base(model) != self.saved["frozen_base"]:
            changes.append("weights of the base")
        then = self.saved["data_sha256"]
        if len(then) > len(data.checksums()):
            data.encoded("valid")
        now = data.checksums()
        changes += [
            f"content of {name}" for name in then if name in now and now[name] != then[name]
        ]
        refuse(self.run, changes, self.may_change)

    def prepare_folder(self, composed: str) -> None:
        """Take back what was written after the checkpoint, and note a changed config; by rank 0.

        Args:
            composed: the config as YAML, interpolations alive.
        """
        (self.run.path / "result.json").unlink(missing_ok=True)  # written anew at the end
        metrics, size = self.run.path / "metrics.csv", self.saved_run["metrics_bytes"]
        if metrics.is_file() and metrics.stat().st_size > size:
            os.truncate(metrics, size)
        drop_rows_after(self.run.path / "diagnostics.csv", self.saved["update"])
        for remains in self.run.path.glob("checkpoints/.*.partial"):
            remains.unlink()
        if self.is_altered:
            with atomic_text(self.run.path / ".hydra" / "config.yaml") as file:
                file.write(composed)


def open_resumed(
    folder: str, values: dict[str, Any], overrides: Iterable[str], may_change: bool
) -> ResumedRun:
    """Return the run that `resume=` names.

    Args:
        folder: the run's.
        values: of the config to go on with, as `flat_values` gives them.
        overrides: the command's, `key=value`.
        may_change: `resume_force`.

    Raises:
        InputError: its checkpoint is damaged, or keys that alter numbers were changed.
    """
    run = RunFolder.open(folder, "resume")
    altered = altered_values(run, values, overrides)
    refuse(run, [f"{key} {old} → {new}" for key, (old, new) in altered.items()], may_change)
    saved = read_checkpoint(run.last_checkpoint)
    resumed = ResumedRun(run, saved, may_change, is_altered=bool(altered))
    log.info("resume        %s after update %d", run.path, resumed.saved["update"])
    return resumed


def refuse(run: RunFolder, changes: Iterable[str], may_change: bool) -> None:
    """Say what changed, as an error unless the user wants it.

    Raises:
        InputError: something changed, and `may_change` is false.
    """
    listed = "; ".join(changes)
    if listed and not may_change:
        raise InputError(
            f"resume={run.path}: the run would come to other numbers, changed: {listed}; leave it "
            "as it was, or go on with resume_force=true"
        )
    if listed:
        log.warning("changed       %s", listed)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running code.

    Raises:
        InputError: it is damaged, or not of a version that can be resumed.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = first_line(error)
        raise InputError(f"{path}: a damaged checkpoint ({reason}); train anew") from None
    if "random_states" not in saved:
        raise InputError(f"{path}: is of an older version, which cannot be resumed; train anew")
    return saved
