"""The space that a search draws from: its keys, their values, and by which sampler."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.allowed import require_kind
from lora_lightning.config.arguments import arguments_of, check_node, target_of
from lora_lightning.config.study import A_SAMPLER, SAMPLER, SAMPLERS, directions_of
from lora_lightning.errors import InputError, first_line
from lora_lightning.ranges import Count, Seed, Share, Text, check
from lora_lightning.sweep.axis import NEEDS_LISTS, distribution_of, listed

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

SEARCHES = ("search", "optuna")  # options of hydra/sweeper; the latter is the name of before
KEYS = {
    "n_trials": Count | None,
    "n_jobs": Count | None,
    "storage": Text | None,
    "study_name": Text | None,
    "max_failure_rate": Share,
}
DRAWN = 20  # trials, where nobody says how many


@dataclass(frozen=True)
class Space:
    """What a search may draw.

    Attributes:
        sampler: `_target_` and arguments; None where each combination is a job, in order.
        distributions: what each swept key's values are drawn from.
        grid: the values of each swept key, where their combinations are tried once each.
        fixed: the other overrides, of every job.
        trials: how many to draw.
        at_once: how many at a time.
    """

    sampler: dict[str, Any] | None
    distributions: "dict[str, BaseDistribution]"
    grid: dict[str, list[Any]] | None
    fixed: list[str]
    trials: int
    at_once: int

    @classmethod
    def of(cls, config: DictConfig, overrides: list[Override]) -> "Space":
        """Return the space of a sweep.

        Args:
            config: of the sweep, `hydra` included.
            overrides: of the search space and the command line.

        Raises:
            InputError: the sampler, its arguments or another key of `hydra.sweeper` is wrong.
        """
        from optuna.samplers import CmaEsSampler

        sweeper = config.hydra.sweeper
        for key, kind in KEYS.items():
            check(f"hydra.sweeper.{key}", sweeper[key], kind)
        swept = {o.get_key_element(): o for o in overrides if o.is_sweep_override()}
        fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
        interval = next((o for o in swept.values() if o.is_interval_sweep()), None)
        described = _described(sweeper.sampler)
        given = [o for o in config.hydra.overrides.hydra if o.startswith(f"{SAMPLER}=")]
        if given and given[-1].partition("=")[2] in SAMPLERS and OmegaConf.is_dict(sweeper.sampler):
            raise InputError(f"{given[-1]}: a name takes no arguments; {A_SAMPLER}")
        if interval is not None:
            described.setdefault("_target_", SAMPLERS["tpe"])
        elif sweeper.storage or sweeper.n_trials:
            described.setdefault("_target_", SAMPLERS["grid"])
        sampler = described if "_target_" in described else None
        grid, trials = None, sweeper.n_trials or DRAWN
        if sampler is None or sampler["_target_"] == SAMPLERS["grid"]:
            if interval is not None:
                raise InputError(f"{interval.input_line}: {SAMPLER}=grid {NEEDS_LISTS}")
            grid = {key: listed(override) for key, override in swept.items()}
            size = math.prod(map(len, grid.values()))
            trials = min(size, sweeper.n_trials or size)
        at_once = sweeper.n_jobs or (trials if sampler is None else 1)
        distributions = {key: distribution_of(override) for key, override in swept.items()}
        space = cls(sampler, distributions, grid, fixed, trials, at_once)
        made, directions = space.make_sampler(0), directions_of(config)
        if isinstance(made, CmaEsSampler) and len(directions) > 1:
            raise InputError(
                f"{SAMPLER}=cmaes: takes one objective; use tpe, gp, qmc, grid or random"
            )
        return space

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield each combination of a grid, the last key's value changing first."""
        values = self.grid or {}
        for point in product(*values.values()):
            yield dict(zip(values, point, strict=True))

    def left(self, study: "optuna.Study") -> int:
        """Return how many trials are to be drawn from a study.

        Raises:
            InputError: of a grid none.
        """
        if self.grid is None:
            return self.trials
        size = math.prod(map(len, self.grid.values()))
        if (tried := len(study.get_trials(deepcopy=False))) >= size:
            raise InputError(
                f"the study {study.study_name} has each of the {size} combinations; "
                "name=<label> begins another"
            )
        return min(self.trials, size - tried)

    def make_sampler(self, seed: int) -> "optuna.samplers.BaseSampler":
        """Build the sampler.

        Args:
            seed: used where the config gives none.

        Raises:
            InputError: it is none, or cannot do with its arguments.
        """
        import optuna
        from optuna.exceptions import ExperimentalWarning

        if self.sampler is None:
            return optuna.samplers.RandomSampler(seed)  # is asked nothing
        node = dict(self.sampler)
        target: Any = target_of(SAMPLER, node)
        require_kind(SAMPLER, node["_target_"], target)
        if "seed" in arguments_of(target).annotations:
            node = {"seed": seed} | node
        if target is optuna.samplers.GridSampler:
            node["search_space"] = self.grid
        check_node(SAMPLER, node)
        try:
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                made: optuna.samplers.BaseSampler = instantiate(node, _convert_="all")
        except InstantiationException as error:
            reason = first_line(error.__cause__ or error)
            raise InputError(f"{SAMPLER}: {target.__name__} refuses this ({reason})") from None
        return made


def _described(sampler: Any) -> dict[str, Any]:
    """Return class and arguments of `hydra.sweeper.sampler`; no `_target_` where it names none.

    Raises:
        InputError: there is no sampler of that name.
    """
    if isinstance(sampler, str) and sampler in SAMPLERS:
        return {"_target_": SAMPLERS[sampler]}
    node: Any = {} if sampler is None else sampler
    if OmegaConf.is_config(sampler):
        node = OmegaConf.to_container(sampler, resolve=True)
    if isinstance(node, dict):
        node = {key: value for key, value in node.items() if value is not None}
        check(f"{SAMPLER}.seed", node.get("seed"), Seed | None)
        if "_target_" in node or not node.keys() - {"seed"}:
            return node
    raise InputError(f"{SAMPLER}={node}: {A_SAMPLER}")
