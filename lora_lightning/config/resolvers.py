"""The `${…:}` resolvers that the configs use for folders and names."""

from collections.abc import Callable
from os.path import expanduser
from pathlib import Path
from typing import Any, get_args

from omegaconf import OmegaConf

from lora_lightning.config.commands import Split
from lora_lightning.config.label import label_of_folder
from lora_lightning.config.study import direction_of
from lora_lightning.files import folder_name
from lora_lightning.process import REPOSITORY, launch_time, process_rank, workspace


def label(name: str | None) -> str:
    """Return the part of a folder's name that a user's `name=` adds."""
    text = label_of_folder(name)
    return f"_{text}" if text else ""


def results_dir(
    kind: str, root: str, run: str | None, split: str, inputs: str | None, name: str | None
) -> str:
    """Return where `generate.py` or `evaluate.py` writes unless `output_dir=` says otherwise.

    Args:
        kind: `predictions` or `evaluation`.
        root: folder for results that belong to no run.
        run: the training run, if any.
        split: data split.
        inputs: file with own contexts, if any; its stem then stands for the split, and is marked
            where it is the name of one.
        name: the user's label, possibly empty.
    """
    if run is None:
        return f"{root}/{launch_time()}{label(name)}"
    part = split if inputs is None else inputs_label(inputs)
    return "/".join(filter(None, [str(run), kind, part, label_of_folder(name)]))


def inputs_label(inputs: str) -> str:
    """Return what stands for a file of own contexts where else a split's name would stand."""
    stem = folder_name(Path(inputs).stem) or "inputs"
    return f"inputs-{stem}" if stem.casefold() in get_args(Split) else stem


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


def register() -> None:
    """Make the resolvers known to OmegaConf; calling it twice is harmless."""
    named: dict[str, Callable[..., Any]] = {
        "repository": lambda: str(workspace()),
        "bundled": lambda: str(REPOSITORY),
        "launch_time": launch_time,
        "label": label,
        "home": expanduser,
        "results_dir": results_dir,
        "job_folder": job_folder,
        "log_file": log_file,
        "download_source": download_source,
        "sum": lambda *numbers: sum(map(int, numbers)),
        "failure_rate": lambda on_job_failure: 1.0 if on_job_failure == "skip" else 0.0,
        "direction_of": direction_of,
        "mode_of": lambda metric: direction_of(metric)[:3],
    }
    for name, resolver in named.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
