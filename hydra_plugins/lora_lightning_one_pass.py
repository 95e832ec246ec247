"""`hydra/launcher=one_pass`: the jobs of a sweep train or decode side by side over one base."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn

from lora_lightning.sweep.launched import OwnLauncher


@dataclass
class OnePassConf:
    """Keys of `hydra.launcher`.

    Attributes:
        max_jobs_at_once: how many go side by side; None: all that can.
        memory: bytes for those that go side by side and their base; None: what is free.
        strict: refuse jobs that cannot share, in place of running them by themselves.
    """

    _target_: str = "hydra_plugins.lora_lightning_one_pass.OnePassLauncher"
    max_jobs_at_once: int | None = None
    memory: int | None = None
    strict: bool = False


ConfigStore.instance().store(
    group="hydra/launcher", name="one_pass", node=OnePassConf, provider="lora_lightning"
)


class OnePassLauncher(OwnLauncher):
    """Launches jobs in one pass over their base."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs, and return what each gave, in order."""
        from lora_lightning.one_pass.launcher import launch

        return launch(*self.given, job_overrides, initial_job_idx)
