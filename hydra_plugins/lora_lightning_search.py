"""`hydra/sweeper=search`: a study of Optuna's, see `lora_lightning/sweep/search.py`."""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SearchSweeper(Sweeper):
    """Draws jobs from a study, and tells it what they gave."""

    def __init__(self, **_: Any) -> None:
        """Take the keys of `hydra.sweeper`, which `setup` gets with the whole config."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep the config, and make the launcher."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the search; the overrides stand in the config."""
        from lora_lightning.sweep.search import search

        assert self.config is not None
        assert self.launcher is not None
        search(self.config, self.launcher.launch)
