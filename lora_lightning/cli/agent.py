"""What a W&B agent passes, made into what the command takes.

`configs/wandb_sweep.yaml` uses `${args_no_hyphens}`, so a new run gets `key=value`; nested
parameters come as dictionaries, and are converted as any other's. A run that the agent resumes gets
everything that W&B's server knows of it: the agent's own `wandb_*` keys, by which it is told, and
the whole config as Python prints it, whole groups as dictionaries. The swept keys are among them in
their flat form, and the rest follows from the command itself.
"""

import os
import sys
from dataclasses import replace

from lora_lightning.config.compose import CONFIGS
from lora_lightning.config.stored_overrides import check_overrides
from lora_lightning.config.trust import Trust
from lora_lightning.errors import presentable

AGENTS_OWN = ("wandb_", "_wandb")
SWEEP = "WANDB_SWEEP_ID"  # set by an agent for the commands that it starts


def is_of_agent(arguments: list[str]) -> bool:
    """Whether a W&B agent started this command."""
    return is_resumed_by_agent(arguments) or SWEEP in os.environ


def is_resumed_by_agent(arguments: list[str]) -> bool:
    """Whether an agent resumes a run, and so passes all that W&B knows of it."""
    return any(argument.startswith(AGENTS_OWN) for argument in arguments)


def check_agents_overrides(overrides: list[str], trust: Trust) -> None:
    """Check an agent's arguments: whoever may write to the sweep decides them, so they are data.

    Raises:
        InputError: one names a class or program that is not allowed.
    """
    advice = "name it in an option below configs/ of this machine"
    check_overrides(overrides, "the W&B agent's arguments", replace(trust, otherwise=advice))


def overrides_of_agent(arguments: list[str]) -> list[str]:
    """Return the arguments of a command that an agent resumes, and say what is left out of them."""
    from lora_lightning.config.files import every_key

    groups = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
    kept = without_agents_keys(arguments, groups | every_key(CONFIGS))
    taken = {argument.partition("=")[0] for argument in kept}
    left_out = [a.partition("=")[0] for a in arguments if a.partition("=")[0] not in taken]
    if left_out:
        sys.stderr.write(presentable(
            "resumed by a W&B agent; left out of what it passes, as it says how the run before was "
            f"set up: {', '.join(left_out)}\n"
        ))  # fmt: skip
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
    """Whether an argument's value is a dictionary as Python prints it."""
    key, _, value = argument.partition("=")
    return key != "text" and value.startswith(("{'", "{}"))  # a text may be anything
