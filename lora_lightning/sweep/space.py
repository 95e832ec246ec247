"""The space that a search draws from: its keys, their values, and by which sampler."""

import math
import warnings
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import (
    IntervalSweep,
    Override,
    RangeSweep,
    Transformer,
)
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.allowed import require_kind
from lora_lightning.config.arguments import check_node, target_of
from lora_lightning.config.study import direction_of
from lora_lightning.errors import InputError
from lora_lightning.ranges import Count, Seed, check

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

SEARCHES = ("search", "optuna")  # options of hydra/sweeper; the latter is the name of before
SAMPLERS = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "qmc": "QMCSampler",
    "grid": "GridSampler",
    "random": "RandomSampler",
}
GRID = "optuna.samplers.GridSampler"
KEY = "hydra.sweeper.sampler"
DRAWN = 20  # trials, where nobody says how many


@dataclass(frozen=True)
class Space:
    """What a search may draw.

    Attributes:
        sampler: `_target_` and arguments; None where each combination is a job, in order.
        swept: the overrides to draw values for.
        fixed: the others, of every job.
        directions: `minimize` or `maximize` of each objective.
        trials: how many to draw.
        at_once: how many at a time.
    """

    sampler: dict[str, Any] | None
    swept: list[Override]
    fixed: list[str]
    directions: list[str]
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
        sweeper = config.hydra.sweeper
        swept = [override for override in overrides if override.is_sweep_override()]
        fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
        for key in ("n_trials", "n_jobs"):
            check(f"hydra.sweeper.{key}", sweeper[key], Count | None)
        size = math.prod(len(_listed(o)) for o in swept) if all(map(_is_listed, swept)) else None
        sampler = _described(sweeper.sampler)
        if sampler is None and size is None:
            sampler = {"_target_": f"optuna.samplers.{SAMPLERS['tpe']}"}
        elif sampler is None and (sweeper.storage or sweeper.n_trials):
            sampler = {"_target_": GRID}
        if sampler is not None and sampler["_target_"] == GRID:
            if size is None:
                drawn = next(o for o in swept if not _is_listed(o))
                raise InputError(
                    f"{drawn.input_line}: {KEY}=grid needs lists of values, as choice(1,2) or "
                    "range(1,4)"
                )
            trials = min(size, sweeper.n_trials or size)
        else:
            trials = sweeper.n_trials or (size if sampler is None and size else DRAWN)
        at_once = sweeper.n_jobs or (trials if sampler is None else 1)
        space = cls(sampler, swept, fixed, _directions(config), trials, at_once)
        space.make_sampler(0)
        return space

    @property
    def distributions(self) -> "dict[str, BaseDistribution]":
        """What each key is drawn from."""
        return {o.get_key_element(): _distribution(o) for o in self.swept}

    def points(self) -> list[dict[str, Any]]:
        """Return each combination of listed values, the last key's changing first."""
        keys = [override.get_key_element() for override in self.swept]
        return [dict(zip(keys, point, strict=True)) for point in product(*map(_listed, self.swept))]

    def left(self, study: "optuna.Study") -> int:
        """Return how many trials are to be drawn from a study.

        Raises:
            InputError: of a grid none.
        """
        if self.sampler is None or self.sampler["_target_"] != GRID:
            return self.trials
        size, tried = len(self.points()), len(study.get_trials(deepcopy=False))
        if tried >= size:
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
            InputError: it cannot do with the number of objectives, or with its arguments.
        """
        import optuna
        from optuna.exceptions import ExperimentalWarning

        if self.sampler is None:
            return optuna.samplers.RandomSampler(seed)  # is asked nothing
        node = {"seed": seed} | {k: v for k, v in self.sampler.items() if v is not None}
        target: Any = target_of(KEY, node)
        if target is optuna.samplers.GridSampler:
            listed = {override.get_key_element(): _listed(override) for override in self.swept}
            node["search_space"] = listed
        require_kind(KEY, node["_target_"], target)
        check_node(KEY, node)
        if target is optuna.samplers.CmaEsSampler and len(self.directions) > 1:
            raise InputError(f"{KEY}=cmaes: takes one objective; use tpe, gp, qmc, grid or random")
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            made: optuna.samplers.BaseSampler = instantiate(node, _convert_="all")
        return made


def _described(sampler: Any) -> dict[str, Any] | None:
    """Return class and arguments of `hydra.sweeper.sampler`; None where it names none.

    Raises:
        InputError: there is no sampler of that name.
    """
    if isinstance(sampler, str) and sampler in SAMPLERS:
        return {"_target_": f"optuna.samplers.{SAMPLERS[sampler]}"}
    if sampler is not None and not OmegaConf.is_dict(sampler):
        raise InputError(
            f"{KEY}={sampler}: allowed is {' | '.join(SAMPLERS)}, or {KEY}._target_=optuna."
            "samplers.<class>"
        )
    node: Any = {} if sampler is None else OmegaConf.to_container(sampler, resolve=True)
    check(f"{KEY}.seed", node.get("seed"), Seed | None)
    if node.get("_target_") is None:
        further = [key for key, value in node.items() if value is not None and key != "seed"]
        if further:
            raise InputError(f"{KEY}.{further[0]}: needs {KEY}._target_=optuna.samplers.<class>")
        return None
    return node


def objectives_of(config: DictConfig) -> list[str]:
    """Return the metrics that a sweep optimizes.

    Raises:
        InputError: the command has none.
    """
    metric = config.get("optimized_metric")
    if metric is None:
        raise InputError("hydra/sweeper=search: goes by an optimized_metric, which train.py has")
    return [metric] if isinstance(metric, str) else list(metric)


def _directions(config: DictConfig) -> list[str]:
    metrics, given = objectives_of(config), config.hydra.sweeper.direction
    if given is None:
        return [direction_of(metric) for metric in metrics]
    directions = list(map(str, given)) if OmegaConf.is_list(given) else [str(given)]
    if set(directions) - {"minimize", "maximize"} or len(directions) != len(metrics):
        raise InputError(
            f"hydra.sweeper.direction={','.join(directions)}: allowed is minimize | maximize, one "
            f"for each of optimized_metric={','.join(metrics)}"
        )
    return directions


def _is_listed(override: Override) -> bool:
    return not isinstance(override.value(), IntervalSweep)


def _listed(override: Override) -> list[Any]:
    """Return the values of a swept key as Optuna keeps them: numbers, truths, else texts."""
    return list(override.sweep_iterator(transformer=Transformer.encode))


def _distribution(override: Override) -> "BaseDistribution":
    """Return what Optuna draws a key's values from."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    value = override.value()
    if isinstance(value, IntervalSweep):
        is_whole = isinstance(value.start, int) and isinstance(value.end, int)
        kind: Any = IntDistribution if is_whole else FloatDistribution
        return kind(value.start, value.end, log="log" in value.tags)
    listed = _listed(override)
    if isinstance(value, RangeSweep) and not value.shuffle and len(listed) > 1:
        low, high, step = min(listed), max(listed), abs(listed[1] - listed[0])
        if all(isinstance(item, int) for item in listed):
            return IntDistribution(low, high, step=step)
    return CategoricalDistribution(listed)
