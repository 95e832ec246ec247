"""The Optuna study behind a sweep: one storage, one study, continued only by the same question.

A study under the same name but with another search space, direction, metric or fixed setting would
mix numbers that do not compare, so it is refused before the first trial.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from lora_lightning.config.build import build
from lora_lightning.config.rules import pruned_by
from lora_lightning.config.study import (
    directions_of,
    open_storage,
    storage_file,
    storage_in,
    study_name,
)
from lora_lightning.errors import InputError, first_line
from lora_lightning.sweep.space import Space

if TYPE_CHECKING:
    import optuna

QUESTION = "lora_lightning"  # the study's attribute that says what it asks
IN_MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:")
# What may differ between two commands of one study.
FREE = ("output_dir", "name", "overwrite", "on_job_failure", "logger", "paths", "hydra")


def storage_of(config: DictConfig) -> str:
    """Return the storage of a sweep's study: its own, or the one that is named."""
    return config.hydra.sweeper.storage or storage_in(Path(config.hydra.sweep.dir).resolve())


def check_study(config: DictConfig, space: Space) -> None:
    """Check that the storage holds this sweep's study, or none yet; nothing is written.

    Args:
        config: of the sweep, `hydra` included.
        space: that it draws from.

    Raises:
        InputError: the storage cannot be read, or shared, or holds another study, or nothing of a
            grid is left to try.
    """
    storage, name = config.hydra.sweeper.storage, config.hydra.sweeper.study_name
    if storage is None:
        return
    if name is None:
        raise InputError(
            "hydra.sweeper.storage needs hydra.sweeper.study_name=<name> to go on with"
        )
    if storage in IN_MEMORY:
        raise InputError(
            f"hydra.sweeper.storage={storage}: is memory, which no job sees; give sqlite:///<file> "
            "or journal:///<file>"
        )
    path = storage_file(storage)
    if path is None and "://" not in storage:
        raise InputError(
            f"hydra.sweeper.storage={storage}: is no storage; give sqlite:///<file>, "
            "journal:///<file> or a server's URL"
        )
    if path is not None and not path.exists():
        return
    import optuna

    with readable(storage):
        opened: Any = open_storage(storage)
        others = {study.study_name for study in optuna.get_all_study_summaries(opened)}
        if path is not None and others and name not in others:
            raise InputError(
                f"hydra.sweeper.storage={storage} holds another study, {min(others)}; set "
                f"hydra.sweeper.study_name={min(others)} to go on with it, or another storage"
            )
        if name in others:
            study = optuna.load_study(study_name=name, storage=opened)
            _check_question(study, question(config), directions_of(config))
            space.left(study)


def open_study(config: DictConfig, space: Space) -> "optuna.Study":
    """Return the study of a sweep that was checked, made if it is not there yet.

    A dry run gets one that is kept nowhere.

    Raises:
        Exception: of many kinds, where the storage cannot be written; see `readable`.
    """
    import optuna
    from optuna.study import StudyDirection

    storage: Any = None
    if not config.dry_run:
        if (path := storage_file(storage_of(config))) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        storage = open_storage(storage_of(config))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name=study_name(config.hydra.sweeper.study_name),
        storage=storage,
        sampler=space.make_sampler(config.seed),
        pruner=build_pruner(config),
        directions=[StudyDirection[direction.upper()] for direction in directions_of(config)],
        load_if_exists=True,
    )
    if _is_free(study):
        study.set_user_attr(QUESTION, question(config))
    return study


def build_pruner(config: DictConfig) -> "optuna.pruners.BasePruner":
    """Build the pruner of a sweep, which Hyperband's sampler has to know too.

    Raises:
        InputError: its arguments contradict each other.
    """
    import optuna

    if "_target_" not in config.pruner:
        return optuna.pruners.NopPruner()
    pruner: optuna.pruners.BasePruner = build(config.pruner).pruner
    return pruner


def check_pruner(config: DictConfig, has_study: bool, axes: Sequence[str]) -> None:
    """Check that a sweep's pruner has what it needs.

    Args:
        config: of the sweep, `hydra` included.
        has_study: whether its sweeper keeps one.
        axes: the swept keys.

    Raises:
        InputError: it is swept itself, or there is no study, or no metric, that it could go by.
    """
    for key in axes:
        if key.split(".")[0] == "pruner":
            raise InputError(f"{key} is swept: one pruner compares the jobs of a sweep; give one")
    if "_target_" not in (config.get("pruner") or {}):
        return
    if not has_study:
        raise InputError(
            f"pruner={config.hydra.runtime.choices.pruner}: needs hydra/sweeper=search, which "
            "keeps what jobs are compared by"
        )
    pruned_by(config)
    build_pruner(config)


@contextmanager
def readable(storage: str) -> Iterator[None]:
    """Context in which a storage that is damaged, none, or on a full disk is bad input.

    Raises:
        InputError: naming it.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # SQLAlchemy's and the driver's many kinds, Optuna's assertions
        raise InputError(
            f"hydra.sweeper.storage={storage}: cannot be opened or written "
            f"({first_line(error.__cause__ or error)})"
        ) from None


def _is_free(study: "optuna.Study") -> bool:
    """Whether a study holds nothing that another question could be mixed with."""
    return all(
        trial.state.name in ("FAIL", "WAITING") for trial in study.get_trials(deepcopy=False)
    )


def question(config: DictConfig) -> dict[str, str]:
    """Return what a study asks: search space, metric, and every fixed override."""
    from lora_lightning.sweep.plan import sweep_overrides

    asked = {"optimized_metric": str(config.get("optimized_metric"))}
    for override in sweep_overrides(config):
        key = override.key_or_group
        if key.split(".")[0].split("/")[0] not in FREE:
            asked[key] = str(override.input_line).split("=", 1)[-1]
    return asked


def _check_question(study: "optuna.Study", asked: dict[str, str], directions: list[str]) -> None:
    there = [direction.name.lower() for direction in study.directions]
    other_direction = there != directions
    if _is_free(study) and not other_direction:
        return
    before = study.user_attrs.get(QUESTION)
    found = before or {}
    differing = sorted(k for k in {*asked, *found} if asked.get(k) != found.get(k))
    if before is None or differing or other_direction:
        what = "; ".join(f"{k}: {found.get(k)} there, {asked.get(k)} here" for k in differing)
        what = what or f"direction {', '.join(there)}"
        raise InputError(
            f"the storage holds another study under the name {study.study_name} ({what}); give "
            "this one name=<label> or hydra.sweeper.study_name=<name>"
        )
