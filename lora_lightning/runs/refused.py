"""A command that is refused leaves nothing behind: its folder goes, as far as this command made it.

Hydra makes the folder, and describes the command in it, before any of our code looks at the input.
What was there before stays, and so does a folder with results in it.
"""

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from lora_lightning.config.faults import COMPOSING, explain
from lora_lightning.config.label import label_of_folder
from lora_lightning.config.rules import check_folders
from lora_lightning.errors import InputError, disk_fault
from lora_lightning.process import process_rank
from lora_lightning.runs.claim import HOLDER as LOCK_HOLDER
from lora_lightning.runs.claim import LOCK, is_running
from lora_lightning.runs.folder import (
    CONTINUES,
    ISOLATED_JOB,
    LOGGER_IDS,
    PREDICTIONS,
    SCORES,
    TRAINING,
    UNFINISHED,
)
from lora_lightning.runs.holder import HOLDER

HYDRA = ".hydra"
OF_START = (HYDRA, "config.yaml", LOGGER_IDS, "wandb", LOCK, LOCK_HOLDER, HOLDER)
RESULTS = (*TRAINING, *PREDICTIONS, *UNFINISHED, *SCORES, "error.txt", "job.json")


@dataclass(frozen=True)
class Before:
    """What was there before this command.

    Attributes:
        folder: that it writes into.
        missing: of the folder and its parents those that were not there, the innermost first.
        names: of what was in the folder.
    """

    folder: Path
    missing: tuple[Path, ...]
    names: frozenset[str]


BEFORE: ContextVar[Before | None] = ContextVar("BEFORE", default=None)


def note_what_is_there(folder: Path) -> None:
    """Note what is in the folder of this command before Hydra writes into it."""
    absolute = folder.absolute()
    missing = [path for path in (absolute, *absolute.parents) if not path.exists()]
    names = frozenset(path.name for path in absolute.iterdir()) if not missing else frozenset()
    BEFORE.set(Before(absolute, tuple(missing), names))


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Context of a command; where it is refused, what it made is removed."""
    BEFORE.set(None)
    try:
        yield
    except (InputError, *COMPOSING, OSError):
        _remove_what_was_made()
        raise
    except SystemExit as end:
        if isinstance(end.code, str):
            _remove_what_was_made()
        raise


def _remove_what_was_made() -> None:
    before = BEFORE.get()
    BEFORE.set(None)
    if before is None or not before.folder.is_dir() or is_running(before.folder):
        return
    made = [path for path in before.folder.iterdir() if path.name not in before.names]
    if any(path.name in RESULTS for path in made):
        return
    _close_logs(before.folder)
    for path in made:
        if not _is_of_start(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for folder in before.missing:
        try:
            folder.rmdir()
        except OSError:  # somebody else's files are in it by now
            break


def _close_logs(folder: Path) -> None:
    """Let nothing be logged any more into files of a folder that is removed."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, logging.FileHandler)]:
        if folder in Path(handler.baseFilename).parents:
            root.removeHandler(handler)
            handler.close()


class RefuseResults(Callback):
    """Ends the command before Hydra writes into a folder that already holds results.

    It raises SystemExit because Hydra only warns of an Exception in a callback. Not
    refused are child ranks, which write beside rank 0, a resumed run, which goes on in its own
    folder, unfinished predictions and scores, which are continued or written anew, and what a
    failed start left.
    """

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check the run's folder."""
        self._begin(config, "run")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Check the sweep's folder."""
        self._begin(config, "sweep")

    def _begin(self, config: DictConfig, mode: Literal["run", "sweep"]) -> None:
        HydraConfig.instance().set_config(config)  # Hydra sets it later; folder names refer to it
        try:
            check_folders(config)
            folder = Path(config.hydra[mode].dir)
            if _is_made_for_this(config, folder):
                return
            label_of_folder(config.name)
            if not (config.hydra.mode == RunMode.MULTIRUN and _command(config) != "train"):
                require_no_results(config, folder)
            if not _writes_nothing(config):
                note_what_is_there(folder)
        except (InputError, *COMPOSING) as error:
            sys.exit(f"error: {explain(error)}")
        except OSError as error:
            if (fault := disk_fault(error)) is None:
                raise
            sys.exit(f"error: {fault}")


def require_no_results(config: DictConfig, folder: Path) -> None:
    """Check that a command may write into a folder.

    Raises:
        InputError: it holds results.
    """
    if config.overwrite or _writes_nothing(config) or not folder.is_dir():
        return
    names = {path.name for path in folder.iterdir()}
    # What a command replaces at its very end is no result before that.
    decoded = () if names & set(UNFINISHED) else PREDICTIONS
    results = {
        "train": (*TRAINING, HYDRA, *PREDICTIONS, *SCORES),
        "generate": (*TRAINING, *decoded, *SCORES),
        "evaluate": (*TRAINING, SCORES[0]),
    }[_command(config)]
    found = next((name for name in results if name in names), None)
    if found is not None and not (HYDRA in names and all(map(_is_of_start, names))):
        raise InputError(
            f"{folder} already holds results ({found}); give this one a label with "
            "name=…, another output_dir=…, or replace them with overwrite=true"
        )


def _is_of_start(name: str) -> bool:
    """Whether a file or folder is there before the first update, and so no result."""
    return name in OF_START or name.endswith(".log")


def _is_made_for_this(config: DictConfig, folder: Path) -> bool:
    """Whether the folder is this command's own whatever it holds."""
    is_made = str(folder) in (os.environ.get(ISOLATED_JOB), os.environ.get(CONTINUES))
    return process_rank() > 0 or is_made or config.get("resume") is not None


def _command(config: DictConfig) -> str:
    return str(config.hydra.job.config_name)


def _writes_nothing(config: DictConfig) -> bool:
    return bool(config.dry_run) or config.get("text") is not None
