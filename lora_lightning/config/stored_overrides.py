"""Overrides that somebody else wrote: of a sweep's jobs, or of a W&B agent.

They are data as a stored config is: they choose options and values, no class, program or file of
configs. What Hydra itself would start or load is left to the user's own command line.
"""

import re
from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    RangeSweep,
)
from hydra.errors import HydraException

from lora_lightning.config.compose import CONFIGS
from lora_lightning.config.stored import check_choice, check_classes, is_run
from lora_lightning.config.trust import Trust
from lora_lightning.errors import InputError

FLAGS = ("-m", "--multirun")
NEVER = ("trust", "resume", "paths.user_dir")  # said by a user alone
HYDRA_KEYS = re.compile(
    r"hydra\.(mode|verbose|output_subdir|run\.dir|sweep\.(dir|subdir)|job\.config\.override_dirname"
    r"\..*|job_logging\.root\.handlers|sweeper\.(n_trials|n_jobs|study_name|storage|direction|"
    r"max_failure_rate|max_batch_size|sampler(\..*)?|params(\..*)?)|launcher\.(n_jobs|verbose|"
    r"pre_dispatch|batch_size|timeout_min|cpus_per_task|gpus_per_node|tasks_per_node|nodes|mem_gb|"
    r"name|partition|qos|account|array_parallelism|max_num_timeout|signal_delay_s|constraint|gres|"
    r"mem_per_(cpu|gpu)|cpus_per_gpu|gpus_per_task|comment|exclude|nodelist|exclusive|"
    r"max_jobs_at_once|strict|num_cpus|num_gpus|memory|max_retries))"
)
"""Keys of Hydra that neither start a program nor load a file nor build anything."""


def check_overrides(arguments: Iterable[str], source: str, trust: Trust) -> None:
    """Check a command line that others wrote.

    Raises:
        InputError: naming the argument, the source, and the switch for whoever trusts it.
    """
    for argument in arguments:
        if not isinstance(argument, str):
            raise InputError(f"{source}: {argument!r} is no override; remove it")
        if argument in FLAGS or argument.startswith("text="):
            continue
        try:
            override = OverridesParser.create().parse_override(argument)
        except HydraException:
            raise InputError(f"{source}: {argument!r} is no override; remove it") from None
        _check(override, source, trust)


def _check(override: Override, source: str, trust: Trust) -> None:
    key, value = override.key_or_group, _plain(override)
    is_of_hydra = key.split(".")[0] == "hydra" and "/" not in key
    if key in NEVER and value not in (None, False):
        raise InputError(f"{source}: {key}={value} is for the command line alone; remove it")
    if override.package is not None or (is_of_hydra and not HYDRA_KEYS.fullmatch(key)):
        if not trust.everything:
            raise InputError(
                f"{source}: {override.input_line} is not taken from there; {trust.otherwise}"
            )
        return
    values = value if isinstance(value, list) and override.is_sweep_override() else [value]
    for item in values:
        if "." not in key:
            _check_option(key, item, source)
        check_classes(_nested(key, item), source, trust)
        for text in _texts(item):
            if is_run(key, text) and not trust.everything:
                raise InputError(
                    f"{source}: {key}={text}: what others ask to work out is not run; "
                    f"{trust.otherwise}"
                )


def _check_option(key: str, value: Any, source: str) -> None:
    """Check the option of what is a group; other keys hold what they like."""
    if "/" in key or (CONFIGS / key).is_dir():
        check_choice(key, value, source)


def _plain(override: Override) -> Any:
    """Return an override's value, a list of values where it sweeps, all quotation undone."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return [Override._convert_value(item) for item in value.list]
    if isinstance(value, Glob):  # matched with the options' names, and with nothing else
        return []
    if isinstance(value, IntervalSweep):
        return [value.start, value.end]
    return list(override.sweep_iterator()) if isinstance(value, RangeSweep) else value


def _nested(key: str, value: Any) -> dict[str, Any]:
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    result: dict[str, Any] = nested
    return result


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _texts(child)
