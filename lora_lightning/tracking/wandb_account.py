"""Whether Weights & Biases can be used here, found out without a question on the terminal."""

import os

from lora_lightning.errors import InputError

OFFLINE_MODES = ("offline", "dryrun", "disabled")


def is_offline() -> bool:
    """Whether the environment keeps W&B from the network."""
    return os.environ.get("WANDB_MODE", "online") in OFFLINE_MODES


def send_nothing() -> None:
    """Keep W&B's reports about itself at home, which it sends of offline runs too."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")


def has_key() -> bool:
    """Whether there is an API key: in WANDB_API_KEY, or stored by `wandb login`."""
    import wandb

    try:
        return wandb.login(prompt=False, verify=False)
    except wandb.errors.Error:  # a key of the wrong form
        return False


def require_key() -> None:
    """Check that an online run can begin.

    Raises:
        InputError: there is no key.
    """
    if not is_offline() and not has_key():
        raise InputError(
            "logger=wandb needs an API key, and there is none: run `wandb login` or set "
            "WANDB_API_KEY, or record without a network by logger.wandb.offline=true, or leave "
            "W&B out by logger=csv"
        )
