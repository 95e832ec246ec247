"""`resume=`: the command line of a stored run, and what another command line would alter in it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from lora_lightning.config.overrides import FILE_KEYS, plain_override, quote
from lora_lightning.config.stored import NOT_STORED
from lora_lightning.errors import InputError
from lora_lightning.runs.claim import is_running
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.latest import LATEST, training_runs

OF_THIS_COMMAND = ("resume", "resume_force", "output_dir", "overwrite", "dry_run", *NOT_STORED)
# Keys, or whole groups, that decide no number of a run; everything else does.
ALTER_NOTHING = (
    *OF_THIS_COMMAND, "name", "then", "optimized_metric", "pruner", "paths", "logger",
    "data.cache_dir", "data.source", "trainer.log_every_n_steps",
    "trainer.progress_every_n_seconds", "trainer.save_every_n_steps", "trainer.measure_peak",
    "trainer.max_time", "evaluation.java",
)  # fmt: skip
ABSENT = "absent"


def find_resumable(value: str, outputs: Callable[[], Path]) -> RunFolder:
    """Return the run that `resume=<value>` names.

    Args:
        value: a folder, or `latest`: the run below `outputs` that saved last, of those that did not
            end and are not running.
        outputs: gives the folder of training runs, for `latest`.

    Raises:
        InputError: there is no such run, or it saved nothing to go on from.
    """
    if value != LATEST:
        run = RunFolder.open(value, "resume")
        if not run.last_checkpoint.is_file():
            raise InputError(
                f"resume={value}: holds no {run.last_checkpoint.relative_to(run.path)}, as the run "
                "ended before its first save; train anew with overwrite=true, and a smaller "
                "trainer.save_every_n_steps"
            )
        return run
    root = outputs()
    runs = [RunFolder(folder.resolve()) for folder in training_runs(root)]
    waiting = [run for run in runs if run.last_checkpoint.is_file()]
    waiting = [run for run in waiting if not (run.path / "result.json").is_file()]
    waiting = [run for run in waiting if not is_running(run.path)]
    if not waiting:
        raise InputError(
            f"resume=latest: below {root} no training run waits with a checkpoint; all have ended "
            "or are running"
        )
    return max(waiting, key=lambda run: run.last_checkpoint.stat().st_mtime)


def resume_overrides(run: RunFolder, given: dict[str, str]) -> Iterator[str]:
    """Yield overrides that compose the config of `run` again, in its own folder.

    Args:
        run: the training run.
        given: the user's overrides by key; a group chosen anew is left alone.

    Raises:
        InputError: an option that only presets other keys is chosen anew; it could not be told from
            what the run has.
    """
    stored, choices = run.config, run.choices
    for group, option in choices.items():
        if group in given and group not in stored and given[group] != str(option):
            raise InputError(
                f"{group}={given[group]}: the run had {group}={option}, which cannot be exchanged "
                "with resume=; give the keys that you want to alter"
            )
        if group in stored and group not in given:
            yield f"{group}={option}"
    for key, value in run.values().items():
        if key not in OF_THIS_COMMAND and key.split(".")[0] not in given:
            yield f"++{key}={plain_override(value)}"
    yield f"++output_dir={quote(str(run.path))}"
    yield "hydra.output_subdir=null"  # the run's own description stays


def altered_values(
    run: RunFolder, values: dict[str, Any], overrides: Iterable[str]
) -> dict[str, tuple[Any, Any]]:
    """Return key → (old, new) where other values would give other numbers than the run's own.

    A key that the run's config lacks came with a later version, with the default that means what
    the run did; it alters something only where the user gave it. Where files lie alters nothing:
    what they hold is compared with the checkpoint.

    Args:
        run: the training run.
        values: by dotted key, as `flat_values` gives them.
        overrides: the command's, `key=value`.
    """
    old = run.values()
    given = _given_keys(run, overrides)
    return {
        key: (old.get(key, ABSENT), values.get(key, ABSENT))
        for key in [*old, *(key for key in values if key not in old and _is_under(key, given))]
        if old.get(key, ABSENT) != values.get(key, ABSENT)
        and not _is_under(key, (*ALTER_NOTHING, *FILE_KEYS))
    }


def _given_keys(run: RunFolder, overrides: Iterable[str]) -> list[str]:
    """Return the keys, and the groups of another option than the run's, that were given."""
    choices = run.choices
    given = (override.lstrip("+~").partition("=") for override in overrides)
    return [key for key, _, value in given if str(choices.get(key, ABSENT)) != value]


def _is_under(key: str, parents: Iterable[str]) -> bool:
    return any(key == parent or key.startswith(f"{parent}.") for parent in parents)
