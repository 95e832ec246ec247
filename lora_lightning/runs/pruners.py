"""Optuna's pruners, by the options of `pruner`: which of a sweep's jobs end early."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le

from lora_lightning.errors import InputError
from lora_lightning.ranges import LARGEST_COUNT, Count, CountOrZero, NotNegative, Text

if TYPE_CHECKING:
    import optuna

Factor = Annotated[int, Ge(2), Le(LARGEST_COUNT)]


@dataclass(frozen=True)
class Pruning:
    """By what jobs are compared, and who judges.

    Attributes:
        metric: of a validation; None: see `pruned_by`.
        pruner: Optuna's.
    """

    metric: str | None
    pruner: "optuna.pruners.BasePruner"


def median(
    metric: Text | None = None,
    n_startup_trials: CountOrZero = 5,
    n_warmup_steps: CountOrZero = 0,
    interval_steps: Count = 1,
    n_min_trials: Count = 1,
) -> Pruning:
    """Prune what is worse than the median of the others at the same update."""
    from optuna.pruners import MedianPruner

    pruner = MedianPruner(n_startup_trials, n_warmup_steps, interval_steps,
                          n_min_trials=n_min_trials)  # fmt: skip
    return Pruning(metric, pruner)


def successive_halving(
    metric: Text | None = None,
    min_resource: Count | Literal["auto"] = "auto",
    reduction_factor: Factor = 4,
    min_early_stopping_rate: CountOrZero = 0,
    bootstrap_count: CountOrZero = 0,
) -> Pruning:
    """Let the best share go on at each rung, asynchronously (Li et al., 2020).

    Raises:
        InputError: `bootstrap_count` with `min_resource=auto`, which Optuna does not take.
    """
    from optuna.pruners import SuccessiveHalvingPruner

    _check_bootstrap(bootstrap_count, "min_resource", min_resource)
    pruner = SuccessiveHalvingPruner(min_resource, reduction_factor, min_early_stopping_rate,
                                     bootstrap_count)  # fmt: skip
    return Pruning(metric, pruner)


def hyperband(
    metric: Text | None = None,
    min_resource: Count = 1,
    max_resource: Count | Literal["auto"] = "auto",
    reduction_factor: Factor = 3,
    bootstrap_count: CountOrZero = 0,
) -> Pruning:
    """Run several brackets of successive halving (Li et al., 2018).

    Raises:
        InputError: `bootstrap_count` with `max_resource=auto`, which Optuna does not take.
    """
    from optuna.pruners import HyperbandPruner

    _check_bootstrap(bootstrap_count, "max_resource", max_resource)
    if max_resource != "auto" and max_resource < min_resource:
        raise InputError(
            f"pruner.max_resource={max_resource}: allowed is at least pruner.min_resource="
            f"{min_resource}"
        )
    pruner = HyperbandPruner(min_resource, max_resource, reduction_factor, bootstrap_count)
    return Pruning(metric, pruner)


def patient(
    metric: Text | None = None,
    wrapped_pruner: Literal["median", "successive_halving", "hyperband"] | None = None,
    patience: CountOrZero = 2,
    min_delta: NotNegative = 0.0,
) -> Pruning:
    """Prune what got no better in the last validations, and what another pruner would prune."""
    from optuna.pruners import PatientPruner

    wrapped = None if wrapped_pruner is None else WRAPPED[wrapped_pruner]().pruner
    return Pruning(metric, PatientPruner(wrapped, patience, min_delta))


WRAPPED = {"median": median, "successive_halving": successive_halving, "hyperband": hyperband}


def _check_bootstrap(count: int, key: str, resource: int | str) -> None:
    if count and resource == "auto":
        raise InputError(f"pruner.bootstrap_count={count}: with pruner.{key}=auto allowed is 0")
