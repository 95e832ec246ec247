"""What a study is made of before it has a trial: its objectives, their directions, its storage."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from lora_lightning.errors import InputError

if TYPE_CHECKING:
    import optuna

SMALLER_IS_BETTER = ("loss", "perplexity", "ter", "error", "trainable")
SAMPLERS = {
    "tpe": "optuna.samplers.TPESampler",
    "gp": "optuna.samplers.GPSampler",
    "cmaes": "optuna.samplers.CmaEsSampler",
    "qmc": "optuna.samplers.QMCSampler",
    "grid": "optuna.samplers.GridSampler",
    "random": "optuna.samplers.RandomSampler",
}
SAMPLER = "hydra.sweeper.sampler"
A_SAMPLER = (
    f"allowed is {' | '.join(SAMPLERS)}, as {SAMPLER}=tpe, or {SAMPLER}._target_=optuna.samplers."
    f"<class> with that class's arguments, as +{SAMPLER}.<argument>=…"
)
IN_SWEEP_FOLDER = "study.journal"
FILES = ("sqlite:///", "journal:///")  # storages that are a file
WAIT = 100  # seconds for another process that writes into the same SQLite file
OLDER = "storage upgrade"  # what Optuna advises where an older version made the tables


def direction_of(metric: str) -> str:
    """Return `minimize` for losses, perplexities, TER, error rates and sizes, else `maximize`."""
    last = metric.split("/")[-1]
    return "minimize" if any(word in last for word in SMALLER_IS_BETTER) else "maximize"


def objectives_of(config: DictConfig) -> list[str]:
    """Return the metrics that a search optimizes.

    Raises:
        InputError: the command has none.
    """
    metric = config.get("optimized_metric")
    if metric is None:
        raise InputError("hydra/sweeper=search: goes by an optimized_metric, which train.py has")
    return [metric] if isinstance(metric, str) else list(metric)


def directions_of(config: DictConfig) -> list[str]:
    """Return `minimize` or `maximize` for each metric that a search optimizes.

    Raises:
        InputError: `hydra.sweeper.direction` says something else, or not as many.
    """
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


def storage_in(folder: Path | str) -> str:
    """Return the storage of a sweep that names none: a journal in its folder."""
    return f"journal:///{folder}/{IN_SWEEP_FOLDER}"


def study_name(given: str | None) -> str:
    """Return the name of a study in its storage."""
    return given or "sweep"


def storage_file(storage: str) -> Path | None:
    """Return the file of a storage, None for a server."""
    kind = next((kind for kind in FILES if storage.startswith(kind)), None)
    return None if kind is None else Path(storage.removeprefix(kind)).absolute()


def open_storage(storage: str) -> "optuna.storages.BaseStorage":
    """Open a storage by its URL: `journal:///<file>`, or what SQLAlchemy knows.

    Processes on several machines may open the same one.

    Raises:
        InputError: an older Optuna made it.
        Exception: of many kinds, where it cannot be opened.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = storage_file(storage)
    if path is not None and storage.startswith("journal:"):
        return _open_journal(path)
    settings = {} if path is None else {"connect_args": {"timeout": WAIT}}
    try:
        return optuna.storages.RDBStorage(storage, engine_kwargs=settings)
    except RuntimeError as error:
        if OLDER not in str(error):
            raise
        raise InputError(
            f"hydra.sweeper.storage={storage}: made by an older version of Optuna; keep a copy of "
            f"it, convert it with `optuna storage upgrade --storage {storage}`, and start again"
        ) from None


def _open_journal(path: Path) -> "optuna.storages.BaseStorage":
    """Open a journal; a line that a full disk cut short is removed, as it would garble the next."""
    from optuna.storages.journal import (
        JournalFileBackend,
        JournalFileSymlinkLock,
        JournalStorage,
    )

    lock = JournalFileSymlinkLock(str(path))
    if path.is_file() and not _is_whole(path):
        lock.acquire()
        try:
            if not _is_whole(path):  # else another process was writing
                content = path.read_bytes()
                os.truncate(path, content.rfind(b"\n") + 1)
        finally:
            lock.release()
    return JournalStorage(JournalFileBackend(str(path), lock))


def _is_whole(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
