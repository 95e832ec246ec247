"""`hydra/launcher=one_pass`: the jobs of a sweep train or decode side by side over one base."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class OnePassConf:
    """Keys of `hydra.launcher`."""

    _target_: str = "hydra_plugins.lora_lightning_one_pass.OnePassLauncher"
    max_jobs_at_once: int | None = None
    memory: int | None = None
    strict: bool = False


ConfigStore.instance().store(
    group="hydra/launcher", name="one_pass", node=OnePassConf, provider="lora_lightning"
)


class OnePassLauncher(Launcher):
    """Launches jobs in one pass over their base.

    Args:
        max_jobs_at_once: how many go side by side; None: all that can.
        memory: bytes for those that go side by side and their base; None: what is free.
        strict: refuse jobs that cannot share, in place of running them by themselves.
    """

    def __init__(
        self,
        max_jobs_at_once: int | None = None,
        memory: int | None = None,
        strict: bool = False,
    ) -> None:
        self.max_jobs_at_once = max_jobs_at_once
        self.memory = memory
        self.strict = strict

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra hands over."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs, and return what each gave, in order."""
        from lora_lightning.one_pass.launcher import launch

        return launch(
            self.hydra_context,
            self.task_function,
            self.config,
            job_overrides,
            initial_job_idx,
            self.max_jobs_at_once,
            self.memory,
            self.strict,
        )
