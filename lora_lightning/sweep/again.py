"""A job of before runs again: from its last checkpoint where it has one, else from its start.

A training that goes on so ends bit for bit, on the CPU, as one that was never killed; a decoding
keeps the texts that it has.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lora_lightning.config.overrides import quote
from lora_lightning.files import require_within
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.isolation import run_isolated
from lora_lightning.runs.jobs import Jobs
from lora_lightning.sweep.record import ERROR, JOB, SweepFolder

OF_A_START = ("output_dir", "overwrite")  # keys that resume= does not go with


def has_checkpoint(folder: Path) -> bool:
    """Whether a training has saved something to go on from."""
    is_begun = all((folder / name).is_file() for name in (".hydra/config.yaml", "config.yaml"))
    return is_begun and RunFolder(folder).last_checkpoint.is_file()


def clear_job(sweep: SweepFolder, job: str) -> None:
    """Remove what a job left, so that it can run again in its own folder.

    Raises:
        InputError: that is not a folder in the sweep's.
    """
    folder = sweep.path / job
    require_within(folder, sweep.path, f"job {job!r}")
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)


def make_ready(sweep: SweepFolder, job: str, command: str) -> None:
    """Remove what a job left, but for what it can go on from.

    Args:
        sweep: the folder.
        job: its name.
        command: that it runs.

    Raises:
        InputError: that is not a folder in the sweep's.
    """
    folder = sweep.path / job
    if command == "train" and not has_checkpoint(folder):
        clear_job(sweep, job)
        return
    require_within(folder, sweep.path, f"job {job!r}")
    for path in [folder / JOB, folder / ERROR, *folder.glob("error_rank_*.txt")]:
        path.unlink(missing_ok=True)


def results_elsewhere(sweep: SweepFolder, overrides: list[str], config: DictConfig) -> str | None:
    """Return where a job's results go, if that is not in the sweep's folder.

    Args:
        sweep: the folder.
        overrides: of the job.
        config: for what the job does not say.
    """
    if (command := sweep.plan.command) == "train":
        return None
    place = Jobs(command).place(HydraConfig.get(), config, overrides)
    return place if place is not None and Path(place).is_absolute() else None


def overrides_again(jobs: Sequence[str]) -> list[str]:
    """Return the overrides of a multirun in which jobs of before run again, each in its folder."""
    return [
        f"+sweep_job={','.join(map(quote, jobs))}",  # a name may hold characters of the grammar
        "hydra.sweep.subdir=${sweep_job}",
        "hydra.output_subdir=null",  # what describes the job stays, or is its own's
    ]


def run_again(
    command: str, overrides: list[str], folder: Path, results: str | None = None
) -> Callable[[DictConfig], Any]:
    """Return the task that runs a job of before, by its own overrides, in a process of its own.

    Args:
        command: `train`, `generate` or `evaluate`.
        overrides: the job's, as they were given.
        folder: of the job.
        results: of the job, where they lie elsewhere; there nothing is overwritten.
    """
    if results is not None:
        kept = [override for override in overrides if not override.startswith("overwrite=")]
        return lambda _: run_isolated(command, kept, Path(results))
    if command == "train" and has_checkpoint(folder):
        overrides = [f"resume={quote(str(folder))}", *map(of_resumed, filter(_is_kept, overrides))]
    return lambda _: run_isolated(command, overrides)


def _is_kept(override: str) -> bool:
    return override.lstrip("+").split("=", 1)[0] not in OF_A_START


def of_resumed(override: str) -> str:
    """Return an override for a config that has the key already, if this one adds a key."""
    is_added = override.startswith("+") and not override.startswith("++")
    return f"+{override}" if is_added and "." in override.split("=", 1)[0] else override
