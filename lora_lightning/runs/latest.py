"""`latest`: the run that wrote its adapter last, or the sweep that began last, of this config."""

import os
from collections.abc import Iterator, Sequence
from os.path import expanduser
from pathlib import Path

from lora_lightning.config.compose import composed
from lora_lightning.config.faults import COMPOSING, explain
from lora_lightning.config.keys import existing_keys
from lora_lightning.errors import InputError
from lora_lightning.runs.folder import RunFolder

LATEST = "latest"
OF_A_RUN = ("adapter", "adapter_best", "checkpoints", ".hydra", "wandb")  # hold no runs


def outputs_folder(command: str, overrides: Sequence[str]) -> Path:
    """Return the folder that the commands write below, as the config of one has it.

    Args:
        command: `train`, `generate` or `evaluate`.
        overrides: of its command line, none of which sweeps.

    Raises:
        InputError: an override, or the value of `paths.output_dir`, is wrong.
    """
    try:
        return Path(expanduser(str(composed(command, overrides).paths.output_dir)))
    except COMPOSING as error:
        raise InputError(explain(error, lambda: existing_keys(command, list(overrides)))) from None


def training_outputs(command: str, overrides: Sequence[str]) -> Path:
    """Return the folder of training runs; arguments and errors as of `outputs_folder`."""
    return outputs_folder(command, overrides) / "train"


def named_run(
    name: str | Path, overrides: Sequence[str] = (), command: str = "generate"
) -> RunFolder:
    """Return the training run that a folder holds, or the latest.

    Args:
        name: a folder, or `latest`.
        overrides: that say where runs lie.
        command: whose overrides they are.

    Raises:
        InputError: there is none.
    """
    if str(name) == LATEST:
        return latest_run(training_outputs(command, overrides))
    return RunFolder.open(expanduser(name))


def latest_holding(file: str, root: Path) -> Path | None:
    """Return the folder below `root` in which a file of this name was written last, if any is."""
    found = [folder / file for folder in _folders(root) if (folder / file).is_file()]
    return max(found, key=lambda path: path.stat().st_mtime).parent if found else None


def latest_run(root: Path) -> RunFolder:
    """Return the training run below `root` that wrote an adapter last.

    Raises:
        InputError: there is none.
    """
    adapters = [run / "adapter" for run in training_runs(root) if (run / "adapter").is_dir()]
    if not adapters:
        raise InputError(f"run=latest: no training run with an adapter below {root}; train first")
    return RunFolder.open(max(adapters, key=lambda path: path.stat().st_mtime).parent)


def training_runs(root: Path) -> Iterator[Path]:
    """Yield every folder below `root` that a training began; links to folders are followed."""
    for run in _folders(root):
        if (run / ".hydra" / "config.yaml").is_file() and (run / "config.yaml").is_file():
            yield run


def _folders(root: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for folder, names, _ in os.walk(root, followlinks=True):
        names[:] = sorted(set(names) - set(OF_A_RUN)) if ".hydra" in names else sorted(names)
        real = os.path.realpath(folder)
        if real in seen:  # a link back to where we are, or to where we were
            names.clear()
            continue
        seen.add(real)
        yield Path(folder)
