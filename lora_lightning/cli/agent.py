"""What a W&B agent passes, made into what the command takes.

`configs/wandb_sweep.yaml` uses `${args_no_hyphens}`, so a new run gets plain `key=value` overrides.
A run that the agent resumes gets everything that W&B's server knows of it: the agent's own
`wandb_*` keys, and the whole config as Python prints it, whole groups as dicts. The swept keys are
among them in their flat form, and the rest follows from the command itself.
"""

import os
from dataclasses import replace

from lora_lightning.config.compose import CONFIGS
from lora_lightning.config.stored_overrides import check_overrides
from lora_lightning.config.trust import Trust

AGENTS_OWN = ("wandb_", "_wandb")
SWEEP = "WANDB_SWEEP_ID"  # set by an agent for the commands that it starts


def is_of_agent(arguments: list[str]) -> bool:
    """Whether a W&B agent started this command."""
    is_told = any(a.startswith(AGENTS_OWN) or _is_printed_group(a) for a in arguments)
    return is_told or SWEEP in os.environ


def overrides_of_agent(arguments: list[str], trust: Trust) -> list[str]:
    """Return the arguments of a command without what only a W&B agent knows.

    Whoever may write to the sweep decides an agent's arguments, so they are data.

    Raises:
        InputError: an agent's argument names a class or program that is not allowed.
    """
    from lora_lightning.config.files import every_key

    groups = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
    kept = without_agents_keys(arguments, groups | every_key(CONFIGS))
    advice = "name it in an option below configs/ of this machine"
    check_overrides(kept, "the W&B agent's arguments", replace(trust, otherwise=advice))
    return kept


def without_agents_keys(arguments: list[str], known: set[str]) -> list[str]:
    """Return the overrides among what an agent passes; other arguments are returned as they are.

    Args:
        arguments: the command line.
        known: the keys and groups that the command has.
    """
    kept = [argument for argument in arguments if not argument.startswith(AGENTS_OWN)]
    if not any(_is_printed_group(argument) for argument in kept):
        return kept
    # The folder is that of the run before; this one makes its own.
    taken = known - {"output_dir"}
    return [
        argument.removesuffix("None") + "null" if argument.endswith("=None") else argument
        for argument in kept
        if "=" not in argument
        or (not _is_printed_group(argument) and argument.split("=", 1)[0] in taken)
        or argument.startswith(("hydra.", "+", "~"))
    ]


def _is_printed_group(argument: str) -> bool:
    """Whether an argument's value is a dict as Python prints it; Hydra's grammar has no such."""
    key, _, value = argument.partition("=")
    return key != "text" and value.startswith(("{'", "{}"))  # a text may be anything
