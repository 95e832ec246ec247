"""What a command line and a search space ask for: which keys are swept, and which jobs that gives.

Checked before the first job starts, where each mistake is one clear error.
"""

import sys
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.keys import own_keys, unknown_key
from lora_lightning.config.search_path import CONFIGS, without_config_dir
from lora_lightning.errors import InputError, first_line
from lora_lightning.runs.jobs import JOBS, is_default_place, require_own_folders
from lora_lightning.runs.refused import require_no_results
from lora_lightning.sweep.before import (
    BASIC,
    check_jobs,
    check_launching,
    check_options,
    check_values,
    one_axis_at_a_time,
)
from lora_lightning.sweep.ray_cluster import LOCAL, RAY, address_of
from lora_lightning.sweep.record import Plan
from lora_lightning.sweep.space import SEARCHES, Space

PARAMS = "hydra.sweeper.params"
VALUES = "give values as 1,2, choice(1,2), range(1,4) or interval(0.1,0.9)"
# Launchers whose jobs find the devices that are here; elsewhere there may be others.
ON_THIS_MACHINE = ("basic", "one_pass", "joblib", "submitit_local")


def make_plan(config: DictConfig) -> Plan:
    """Return what a multirun will do.

    Args:
        config: the composed config, `hydra` included, before any job's overrides.

    Raises:
        InputError: a swept key does not exist.
    """
    check_launching(config)
    overrides, choices = sweep_overrides(config), config.hydra.runtime.choices
    swept = [override for override in overrides if override.is_sweep_override()]
    for override in swept:
        check_key(config, override)
        check_values(override, choices["hydra/sweeper"])
    check_options(overrides)
    is_search = choices["hydra/sweeper"] in SEARCHES
    space = Space.of(config, overrides) if is_search else None
    is_grid = choices["hydra/sweeper"] == BASIC if space is None else space.sampler is None
    jobs = grid(overrides) if is_grid else []
    launcher = choices["hydra/launcher"]
    if launcher in ON_THIS_MACHINE or (launcher == RAY and address_of(config) == LOCAL):
        check_jobs(config, jobs or one_axis_at_a_time(overrides))
    named = named_jobs(config, jobs) if is_default_place(config) else {}
    metric = config.get("optimized_metric")
    return Plan(
        command=config.hydra.job.config_name,
        arguments=without_config_dir(sys.argv[1:])[0],
        folder=str(Path.cwd()),
        launcher=launcher,
        sweeper=choices["hydra/sweeper"],
        axes=list(dict.fromkeys(override.key_or_group for override in swept)),
        metric=metric if metric is None or isinstance(metric, str) else list(metric),
        trials=None if is_grid else space.trials if space else config.hydra.sweeper.get("n_trials"),
        storage=config.hydra.sweeper.get("storage"),
        study=config.hydra.sweeper.get("study_name"),
        jobs=named,
    )


def named_jobs(config: DictConfig, jobs: list[list[str]]) -> dict[str, list[str]]:
    """Return each job's overrides by its name in the sweep's folder.

    Raises:
        InputError: two jobs would write into one folder, or one holds results.
    """
    if (how := JOBS.get()) is None:
        return {str(number): job for number, job in enumerate(jobs)}
    own = [how.own_overrides(job) for job in jobs]
    places = [how.place(config.hydra, config, job) or str(number) for number, job in enumerate(own)]
    sweep = Path(config.hydra.sweep.dir).resolve()
    if how.writes:
        folders = {str(number): sweep / place for number, place in enumerate(places)}
        require_own_folders(folders)
        for folder in folders.values():
            require_no_results(config, folder)
    names = [str(n) if Path(place).is_absolute() else place for n, place in enumerate(places)]
    return dict(zip(names, own, strict=True))


def sweep_overrides(config: DictConfig) -> list[Override]:
    """Return the overrides of the search space and, after them, of the command line.

    A key that the command line gives anew counts as given there.

    Raises:
        InputError: `hydra.sweeper.params` is no search space.
    """
    space = config.hydra.sweeper.get("params")
    if not (space is None or OmegaConf.is_dict(space)):
        raise InputError(f"{PARAMS}={space}: allowed is a mapping, <key>: <values>")
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    parsed = []
    for key, value in (space or {}).items():
        try:
            parsed += parser.parse_overrides([f"{key}={value}"])
        except OverrideParseException as error:
            raise InputError(
                f"{PARAMS}.{key}={value}: {first_line(error.__cause__ or error)}; {VALUES}"
            ) from None
    given: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    parsed += parser.parse_overrides(given)
    return list({override.get_key_element(): override for override in parsed}.values())


def check_key(config: DictConfig, override: Override) -> None:
    """Check that a swept key exists; one added with `+` need not.

    Raises:
        InputError: naming the nearest key that exists.
    """
    key = override.key_or_group
    is_group = (CONFIGS / key).is_dir() or key in config.hydra.runtime.choices
    if is_group or override.is_add() or override.is_force_add() or key.startswith("hydra."):
        return
    if OmegaConf.is_missing(config, key) or _exists(config, key):
        return
    raise InputError(f"the search space sweeps an {unknown_key(key, own_keys(config))}")


def grid(overrides: list[Override]) -> list[list[str]]:
    """Return each job's overrides, in the order in which Hydra's own sweeper numbers them.

    Raises:
        HydraException: the grid has an axis without a finite number of values.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    [jobs] = BasicSweeper.split_arguments(overrides, None)
    return jobs


def _exists(config: DictConfig, key: str) -> bool:
    node: object = config
    for part in key.split("."):
        if not isinstance(node, DictConfig) or part not in node:
            return False
        node = node._get_node(part)
    return True
