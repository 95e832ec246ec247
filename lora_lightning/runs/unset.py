"""Which groups of a command that scores need no check, so that nothing is imported for it."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lora_lightning.config.commands import Evaluate
from lora_lightning.config.overrides import plain_override
from lora_lightning.config.rules import command_of
from lora_lightning.runs.folder import RunFolder

GROUP = "method"


def groups_unset(config: DictConfig) -> tuple[str, ...]:
    """Return the method's group, if the command scores and no key of it is set but as the run's.

    Scoring uses no method, and a method's class imports torch. What a run says of its own was
    checked when it trained; a key that the user sets is checked whatever it costs.

    Args:
        config: of the command that runs, or of a job that it will have.
    """
    if command_of(config) is not Evaluate:
        return ()
    known = {} if config.run is None else RunFolder.open(config.run).values()
    for override in HydraConfig.get().overrides.task:
        key, _, value = override.lstrip("+~").partition("=")
        is_runs = key in known and value == plain_override(known[key])
        if key.startswith(f"{GROUP}.") and not is_runs:
            return ()
    return (GROUP,)
