"""A training run to go on with: what it saved, and whether it would come to the same numbers."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch import Tensor
from transformers import GPT2LMHeadModel

from lora_lightning.checkpoints.files import (
    LAST,
    PREVIOUS,
    copy_checkpoint,
    read_checkpoint,
)
from lora_lightning.checkpoints.loop_state import frozen_base
from lora_lightning.checkpoints.same_run import altered_values
from lora_lightning.checkpoints.time_limit import has_more_time
from lora_lightning.data.batches import Batches
from lora_lightning.errors import InputError
from lora_lightning.files import atomic_text, remove_unfinished
from lora_lightning.runs.folder import RunFolder
from lora_lightning.tracking.csv_tables import require_whole, take_back
from lora_lightning.training.plan import TrainingPlan

log = logging.getLogger(__name__)
FIELDS = {
    "state_dict": dict, "optimizer_states": list, "lr_schedulers": list, "loops": dict,
    "callbacks": dict, "random_states": list, "frozen_base": dict, "world_size": int,
    "data_sha256": dict, "micro_step": int, "update": int, "planned_micro_steps": int,
    "latest": dict,
}  # fmt: skip
FIELDS_OF_SAVE_RUN = {
    "best_loss": float, "has_ended": bool, "started": str, "seconds": float, "resumed_at": list,
    "metrics_bytes": int,
}  # fmt: skip


@dataclass(frozen=True)
class ResumedRun:
    """A run and its last checkpoint that is whole.

    Attributes:
        run: the folder.
        checkpoint: the file.
        saved: the checkpoint's content.
        may_change: whether the user wants to go on with other numbers.
    """

    run: RunFolder
    checkpoint: Path
    saved: dict[str, Any]
    may_change: bool

    @property
    def saved_run(self) -> dict[str, Any]:
        """What `SaveRun` keeps of a run."""
        state: dict[str, Any] = self.saved["callbacks"]["SaveRun"]
        return state

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What was trained or added, by the names that it has in the model."""
        return {n.removeprefix("model."): t for n, t in self.saved["state_dict"].items()}

    @property
    def tables(self) -> dict[Path, int | None]:
        """The tables beside the checkpoint, and their sizes then; None is not known."""
        return {
            self.run.path / f"{name}.csv": self.saved_run.get(f"{name}_bytes")
            for name in ("metrics", "diagnostics")
        }

    def has_ended(self, plan: TrainingPlan, trainer: pl.Trainer) -> bool:
        """Whether nothing is left to train, also by a plan or a time that was lengthened since."""
        if self.saved["micro_step"] >= plan.micro_steps:
            return True
        is_lengthened = plan.micro_steps != self.saved["planned_micro_steps"]
        if self.saved_run.get("is_out_of_time"):
            return not has_more_time(trainer, self.saved["callbacks"])
        return self.saved_run["has_ended"] and not is_lengthened

    def check(self, data: Batches, model: GPT2LMHeadModel, world_size: int) -> None:
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
        if len(then) > len(data.rows.checksums()):
            data.encoded("valid")
        now = data.rows.checksums()
        changes += [
            f"content of {name}"
            for name, checksum in then.items()
            if now.get(name) != checksum and checksum not in now.values()
        ]
        if self.saved.get("tokenizer_sha256") not in (None, data.tokenizer.checksum):
            changes.append("tokenizer")
        refuse(self.run, changes, self.may_change)

    def prepare_folder(self, composed: str) -> None:
        """Take back what was written after the checkpoint, and note a changed config; by rank 0.

        Args:
            composed: the config as YAML, interpolations alive.
        """
        (self.run.path / "result.json").unlink(missing_ok=True)  # written anew at the end
        for table, size in self.tables.items():
            take_back(table, size, self.saved["update"])
        if self.checkpoint != self.run.last_checkpoint:
            copy_checkpoint(self.checkpoint, self.run.last_checkpoint)
        for folder in (self.run.path, self.checkpoint.parent):
            remove_unfinished(folder)
        # Also where nothing was altered: config.yaml has keys now that an older run did not have.
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
        InputError: its checkpoints or its tables are damaged, or keys that alter numbers were
            changed.
    """
    run = RunFolder.open(folder, "resume")
    altered = altered_values(run, values, overrides)
    refuse(run, [f"{key} {old} → {new}" for key, (old, new) in altered.items()], may_change)
    checkpoint, saved = read_last(run.path)
    resumed = ResumedRun(run, checkpoint, saved, may_change)
    for table, size in resumed.tables.items():
        require_whole(table, size)
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


def read_last(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return a run's last checkpoint, or the one before where that is damaged, and its content.

    Raises:
        InputError: neither is whole, or of a version that can be resumed.
    """
    try:
        return folder / LAST, read_resumable(folder / LAST)
    except InputError as error:
        damage = error
    try:
        saved = read_resumable(folder / PREVIOUS)
    except InputError:
        raise InputError(f"{damage}; there is no {PREVIOUS} to go on from: train anew") from None
    log.warning("%s; going on from %s, after update %d", damage, PREVIOUS, saved["update"])
    return folder / PREVIOUS, saved


def read_resumable(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint that has all that a resumed run needs.

    Raises:
        InputError: it is damaged, or lacks a field, as one of an older version does.
    """
    saved = read_checkpoint(path)
    callbacks = saved.get("callbacks")
    state = callbacks.get("SaveRun") if isinstance(callbacks, dict) else None
    for holder, fields in ((saved, FIELDS), (state, FIELDS_OF_SAVE_RUN)):
        for field, kind in fields.items():
            if not isinstance(holder, dict) or not isinstance(holder.get(field), kind):
                raise InputError(f"{path}: a checkpoint of another version, without its {field}")
    return saved
