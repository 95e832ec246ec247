"""`latest`: the training run that wrote its adapter last, where the config says that runs lie."""

import os
from collections.abc import Iterator, Sequence
from os.path import expanduser
from pathlib import Path

from lora_lightning.config.compose import composed
from lora_lightning.errors import InputError
from lora_lightning.runs.folder import RunFolder

OF_A_RUN = ("adapter", "adapter_best", "checkpoints", ".hydra", "wandb")  # hold no runs


def training_outputs(command: str, overrides: Sequence[str]) -> Path:
    """Return the folder of training runs, as the config of a command has it.

    Args:
        command: `train`, `generate` or `evaluate`.
        overrides: of its command line, none of which sweeps.

    Raises:
        HydraException: an override is wrong.
        OmegaConfBaseException: so is the value of `paths.output_dir`.
    """
    return Path(expanduser(str(composed(command, overrides).paths.output_dir))) / "train"


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
    seen: set[str] = set()
    for folder, names, _ in os.walk(root, followlinks=True):
        names[:] = sorted(set(names) - set(OF_A_RUN)) if ".hydra" in names else sorted(names)
        real = os.path.realpath(folder)
        if real in seen:  # a link back to where we are, or to where we were
            names.clear()
            continue
        seen.add(real)
        run = Path(folder)
        if (run / ".hydra" / "config.yaml").is_file() and (run / "config.yaml").is_file():
            yield run
