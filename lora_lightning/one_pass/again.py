"""Jobs of a pass that was cut short, as they go on together: from the last place they all have."""

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from lora_lightning.checkpoints.files import LAST, PREVIOUS, copy_checkpoint, read_checkpoint
from lora_lightning.checkpoints.same_run import resume_overrides
from lora_lightning.config.overrides import quote
from lora_lightning.errors import InputError
from lora_lightning.runs.folder import RunFolder
from lora_lightning.sweep.again import OF_A_START, of_resumed
from lora_lightning.sweep.record import SweepFolder

log = logging.getLogger(__name__)
OF_RESUME = "+sweep_job="


def own_overrides(config: DictConfig, given: Sequence[str]) -> list[str]:
    """Return the overrides with which a job runs in this process.

    `sweep resume` names a job of before by `+sweep_job=`: it runs with its own overrides, and goes
    on where it has a checkpoint.

    Args:
        config: of the sweep.
        given: the job's overrides, as Hydra hands them over.
    """
    named = [
        override.removeprefix(OF_RESUME) for override in given if override.startswith(OF_RESUME)
    ]
    if not named:
        return list(given)
    name = named[0].strip("'\"")
    sweep = SweepFolder(Path(config.hydra.sweep.dir).resolve())
    own, folder = sweep.plan.jobs[name], sweep.path / name
    place = f"hydra.sweep.subdir={quote(name)}"
    if not (folder / LAST).is_file():
        return [*own, place]
    run = RunFolder.open(folder, "resume")
    kept = [override for override in own if _key(override) not in OF_A_START]
    values = dict(override.lstrip("+").split("=", 1) for override in kept if "=" in override)
    stored = [o for o in resume_overrides(run, values) if _key(o) not in OF_A_START]
    return [*stored, *map(of_resumed, kept), f"resume={quote(str(folder))}", place]


def meet(folders: Sequence[Path]) -> int:
    """Let trainings that go on stand where they stood at one time, and return after which round.

    A checkpoint says how many micro-batches the trainings of a pass had had. Where the last one of
    a job is ahead of another's, the one before it takes its place. Where they have no place in
    common, each goes on from its last: to the same numbers, but for how products round.

    Args:
        folders: of jobs with a checkpoint.
    """
    places = [_places(folder) for folder in folders]
    common = set.intersection(*(set(place) for place in places)) if places else set()
    if not common:
        return 0
    last = max(common)
    for folder, place in zip(folders, places, strict=True):
        if place[last] != folder / LAST:
            copy_checkpoint(folder / PREVIOUS, folder / LAST)
            log.info("resume        %s goes back to where all stood", folder)
    return last


def _places(folder: Path) -> dict[int, Path]:
    """Return the checkpoint of each round that a job has, the last one's if there are two."""
    places: dict[int, Path] = {}
    for path in (folder / PREVIOUS, folder / LAST):
        try:
            places[int(read_checkpoint(path)["round"])] = path
        except (InputError, KeyError, OSError):
            continue
    return places


def _key(override: str) -> str:
    return override.lstrip("+~").split("=", 1)[0]
