"""What is wrong with a sweep's jobs is said before the first one starts."""

from collections.abc import Iterator
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import ChoiceSweep, Override
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.compose import CONFIGS
from lora_lightning.config.faults import unknown_option
from lora_lightning.config.files import lacks
from lora_lightning.config.rules import check_config
from lora_lightning.errors import InputError, first_line
from lora_lightning.ranges import Count, check
from lora_lightning.runs.unset import groups_unset
from lora_lightning.sweep.axis import NEEDS_LISTS, texts_of

BASIC = "basic"  # Hydra's own sweeper


def check_launching(config: DictConfig) -> None:
    """Check the keys by which Hydra's own sweeper, and joblib, run jobs.

    Raises:
        InputError: naming the key.
    """
    choices, hydra = config.hydra.runtime.choices, config.hydra
    if choices["hydra/sweeper"] == BASIC:
        size = hydra.sweeper.max_batch_size
        check("hydra.sweeper.max_batch_size", size, Count | None)
    if choices["hydra/launcher"] == "joblib" and hydra.launcher.n_jobs == 0:
        raise InputError("hydra.launcher.n_jobs=0: give how many jobs, or -1 for one a core")


def check_values(override: Override, sweeper: str) -> None:
    """Check that a swept key has values, and in an order that stays.

    Args:
        override: of the key.
        sweeper: option of `hydra/sweeper`.

    Raises:
        InputError: it has none, or none that Hydra's own sweeper could list, or they are shuffled,
            anew whenever they are read.
    """
    if sweeper == BASIC and override.is_interval_sweep():
        raise InputError(
            f"{override.input_line}: a grid {NEEDS_LISTS}; or let hydra/sweeper=search draw"
        )
    value: Any = override.value()
    if getattr(value, "shuffle", False):
        raise InputError(
            f"{override.input_line}: jobs have numbers in the order of their values; leave out "
            "shuffle, or let hydra/sweeper=search hydra.sweeper.sampler=grid draw in random order"
        )
    try:
        has_values = bool(texts_of(override))
    except ValueError as error:  # a range of no step
        raise InputError(f"{override.input_line}: {first_line(error)}") from None
    if not has_values:
        raise InputError(f"{override.input_line}: has no values; give one at least")


def check_options(overrides: list[Override]) -> None:
    """Check that swept options exist, and that each of them has the keys that are given.

    Raises:
        InputError: naming the option, and what it lacks.
    """
    for override in overrides:
        group = override.key_or_group
        if not (override.is_sweep_override() and (CONFIGS / group).is_dir()):
            continue
        for option in _values(override):
            if not _exists(group, option):
                raise InputError(unknown_option(group, option))
            for key in _keys_within(group, overrides):
                if lacks(CONFIGS / group, option, key):
                    raise InputError(
                        f"{group}.{key}: {group}={option} has no such key; sweep that option by "
                        f"itself, or leave out {group}.{key}"
                    )


def one_axis_at_a_time(overrides: list[Override]) -> list[list[str]]:
    """Return jobs that between them have every value of each axis, of an interval both ends.

    For what is drawn, and so has no list of jobs.
    """
    lines = {
        o.get_key_element(): texts_of(o) if o.is_sweep_override() else [str(o.input_line)]
        for o in overrides
    }
    first = {key: values[0] for key, values in lines.items() if values}
    return [
        list((first | {key: line}).values()) for key, values in lines.items() for line in values
    ]


def check_jobs(config: DictConfig, jobs: list[list[str]]) -> None:
    """Check the whole config of as many jobs as it takes to see each value once.

    Args:
        config: of the sweep, `hydra` included.
        jobs: the overrides of each.

    Raises:
        InputError: a value is not allowed.
        HydraException: a job's config cannot be composed.
    """
    loader, hydra = GlobalHydra.instance().config_loader(), HydraConfig.instance()
    sweep = hydra.cfg
    try:
        for job in _with_news(jobs):
            of_job = loader.load_sweep_config(config, list(job))
            OmegaConf.update(of_job, "hydra.job.num", 0)  # a job's folder refers to it
            hydra.set_config(of_job)
            check_config(of_job, groups_unset(of_job))
    finally:
        hydra.cfg = sweep


def _with_news(jobs: list[list[str]]) -> Iterator[list[str]]:
    """Yield the jobs that have an override which none before them has."""
    seen: set[str] = set()
    for job in jobs:
        if not seen.issuperset(job):
            yield job
        seen |= set(job)


def _values(override: Override) -> list[str]:
    """Return the options that an override sweeps over, as far as they are listed."""
    value: Any = override.value()
    if not isinstance(value, ChoiceSweep):
        return []
    listed = (Override._convert_value(item) for item in value.list)
    return [item for item in listed if isinstance(item, str)]


def _exists(group: str, option: str) -> bool:
    """Whether any folder of configs that Hydra searches has an option."""
    parent, _, name = f"{group}/{option}".rpartition("/")
    return name in GlobalHydra.instance().config_loader().get_group_options(
        parent, ObjectType.CONFIG, config_name=None, overrides=[]
    )


def _keys_within(group: str, overrides: list[Override]) -> list[str]:
    """Return the keys of a group that must be there, as they are neither added nor removed."""
    names = [o.key_or_group for o in overrides if not (o.is_add() or o.is_force_add())]
    return [name.removeprefix(f"{group}.") for name in names if name.startswith(f"{group}.")]
