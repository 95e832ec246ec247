"""Whether Weights & Biases can be used here, found out without a question on the terminal."""

import os

from lora_lightning.errors import InputError

OFFLINE_MODES = ("offline", "dryrun")


def wandb_mode() -> str:
    """Return W&B's mode by its environment and settings files: online, offline or disabled."""
    import wandb

    if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1"):
        return "disabled"
    mode = str(os.environ.get("WANDB_MODE") or wandb.setup().settings.mode)
    if mode == "disabled":
        return mode
    return "offline" if mode in OFFLINE_MODES else "online"


def send_nothing() -> None:
    """Keep W&B's reports about itself at home, which it sends of offline runs too."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")


def fault_of_key() -> str | None:
    """Return what is wrong with the API key, of WANDB_API_KEY or `wandb login`; None: nothing."""
    import wandb

    try:
        return None if wandb.login(prompt=False, verify=False) else "there is none"
    except wandb.errors.Error as error:
        return f"this one is of the wrong form: {' '.join(str(error).split()).rstrip('.')}"


def require_key() -> None:
    """Check that an online run can begin.

    Raises:
        InputError: there is no key, or one that W&B cannot have given.
    """
    if (fault := fault_of_key()) is not None:
        raise InputError(
            f"logger=wandb needs an API key, and {fault}; run `wandb login` or set "
            "WANDB_API_KEY, or record without a network by logger.wandb.offline=true, or leave "
            "W&B out by logger=csv"
        )
