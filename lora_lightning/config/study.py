"""What the Optuna search space works out from other keys: direction, and the sampler's seed."""

from pathlib import Path

from lora_lightning.errors import first_line

SMALLER_IS_BETTER = ("loss", "perplexity", "ter", "error")


def direction_of(metric: str) -> str:
    """Return `minimize` for losses, perplexities, TER and error rates, else `maximize`."""
    last = metric.split("/")[-1]
    return "minimize" if any(word in last for word in SMALLER_IS_BETTER) else "maximize"


def sampler_seed(seed: int, storage: str | None, name: str | None) -> int:
    """Return the seed of a study's sampler: `seed` plus the trials that the study has already.

    A sampler that began with the same seed again would propose the first trials' values again.
    """
    if storage is None or name is None or not _file_exists(storage):
        return seed
    import optuna

    known = {summary.study_name: summary for summary in optuna.get_all_study_summaries(storage)}
    return seed + (known[name].n_trials if name in known else 0)


def sqlite_file(storage: str) -> Path | None:
    """Return the file of an SQLite storage, None for another kind."""
    return Path(storage.removeprefix("sqlite:///")) if storage.startswith("sqlite:///") else None


def _file_exists(storage: str) -> bool:
    path = sqlite_file(storage)
    return path is None or path.is_file()


def storage_fault(error: Exception) -> str | None:
    """Return in one line what the storage of a study says went wrong; None of another's error."""
    room = type(error).__module__.partition(".")[0]
    if room != "sqlalchemy" and type(error).__name__ != "StorageInternalError":
        return None
    return f"hydra.sweeper.storage: {first_line(error.__cause__ or error)}"
