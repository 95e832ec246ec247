"""`hydra/launcher=ray`: jobs on a Ray cluster, see `lora_lightning/sweep/ray_launcher.py`."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.search_path_plugin import SearchPathPlugin

from lora_lightning.sweep.launched import OwnLauncher


@dataclass
class RayConf:
    """Keys of `hydra.launcher`.

    Attributes:
        address: <host>:<port> of a cluster's head, or `auto`, the cluster of this machine; None:
            RAY_ADDRESS, else this machine alone.
        num_cpus: of each job; None: one for each process of `trainer.devices`.
        num_gpus: of each job; None: `trainer.devices` where the cluster has GPUs and
            `trainer.accelerator` may use them.
        memory: of each job, in bytes; None: not counted.
        max_retries: so many times a job whose process or machine is lost goes on.
    """

    _target_: str = "hydra_plugins.lora_lightning_ray.RayLauncher"
    address: str | None = None
    num_cpus: float | None = None
    num_gpus: float | None = None
    memory: int | None = None
    max_retries: int = 3


class OursBeforeOthers(SearchPathPlugin):
    """Stores our `ray` once every plugin is imported: hydra-ray-launcher has one of that name."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Leave the path as it is."""
        ConfigStore.instance().store(
            group="hydra/launcher", name="ray", node=RayConf, provider="lora_lightning"
        )


class RayLauncher(OwnLauncher):
    """Launches jobs where Ray's scheduler finds a place for them."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs, and return what each gave, in order."""
        from lora_lightning.sweep.ray_launcher import launch

        return launch(*self.given, job_overrides, initial_job_idx)
