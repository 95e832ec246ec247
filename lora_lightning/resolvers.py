"""The `${…:}` resolvers that the configs use for folders and names."""

import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

REPOSITORY = Path(__file__).parents[1]
LAUNCH_TIME = "LORA_LIGHTNING_LAUNCH_TIME"


def process_rank() -> int:
    """Return this process's rank as its launcher says, 0 before any launch."""
    of_slurm = os.environ.get("SLURM_PROCID") if slurm_tasks() > 1 else None
    return int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or of_slurm or 0)


def slurm_tasks() -> int:
    """Return how many tasks `srun` started beside and with this one, 1 outside of SLURM.

    A batch script that is no `srun` step has SLURM_NTASKS too; submitit always uses `srun`.
    """
    of_step = os.environ.get("SLURM_STEP_NUM_TASKS")
    if of_step is None and os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
        of_step = os.environ.get("SLURM_NTASKS")
    return int(of_step or 1)


def launch_time() -> str:
    """Return the time when this command began, the same in all its ranks; to the microsecond.

    Two commands started in one second therefore still get two folders.
    """
    return os.environ.get(LAUNCH_TIME) or now()


def now() -> str:
    """Return the current time as a folder's name; sorting such names sorts by time."""
    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")


def folder_name(text: str) -> str:
    """Return `text` with every run of characters other than `A-Za-z0-9._-` made one `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")


def label(name: str | None) -> str:
    """Return the part of a folder's name that a user's `name=` adds."""
    return f"_{folder_name(str(name))}" if name not in (None, "") else ""


def results_dir(
    kind: str, root: str, run: str | None, split: str, inputs: str | None, name: str | None
) -> str:
    """Return where `generate.py` or `evaluate.py` writes unless `output_dir=` says otherwise.

    Args:
        kind: `predictions` or `evaluation`.
        root: folder for results that belong to no run.
        run: the training run, if any.
        split: data split.
        inputs: file with own contexts, if any; its stem then stands for the split.
        name: the user's label, possibly empty.
    """
    if run is None:
        return f"{root}/{launch_time()}{label(name)}"
    part = split if inputs is None else folder_name(Path(inputs).stem) or "inputs"
    return "/".join(filter(None, [str(run), kind, part, folder_name(str(name or ""))]))


def job_folder(config_name: str, number: int | str, overrides: str) -> str:
    """Return a multirun job's folder: its number for training, else a label of its overrides."""
    return str(number) if config_name == "train" else folder_name(overrides) or str(number)


def log_file(config_name: str) -> str:
    """Return the name of this rank's log; ranks other than 0 have a file each."""
    rank = process_rank()
    return f"{config_name}.log" if rank == 0 else f"{config_name}_rank_{rank}.log"


def download_source(folder: str, default: str, url: str) -> str | None:
    """Return where missing files of `folder` are downloaded from: nowhere, if the user named it."""
    return url if folder == default else None


def _of_study(name: str) -> Callable[..., Any]:
    """Return a function of sweep/search.py that is imported once it is called."""

    def call(*arguments: Any) -> Any:
        from lora_lightning.sweep import search

        return getattr(search, name)(*arguments)

    return call


def register() -> None:
    """Make the resolvers known to OmegaConf; calling it twice is harmless."""
    named: dict[str, Callable[..., Any]] = {
        "repository": lambda: str(REPOSITORY),
        "launch_time": launch_time,
        "label": label,
        "results_dir": results_dir,
        "job_folder": job_folder,
        "log_file": log_file,
        "download_source": download_source,
        "sum": lambda *numbers: sum(map(int, numbers)),
        "failure_rate": lambda on_job_failure: 1.0 if on_job_failure == "skip" else 0.0,
        "direction_of": _of_study("direction_of"),
        "sampler_seed": _of_study("sampler_seed"),
    }
    for name, resolver in named.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
