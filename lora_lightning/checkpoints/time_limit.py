"""Lightning's Timer, which `trainer.max_time` sets: where it may end a run, and whether it did."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Timer

from lora_lightning.errors import InputError


def require_time(trainer: pl.Trainer) -> None:
    """Check that a run has time for an update.

    Raises:
        InputError: it has none.
    """
    if is_time_up(trainer):
        raise InputError("trainer.max_time (or a Timer) gives no time at all; give some, or null")


def is_time_up(trainer: pl.Trainer) -> bool:
    """Whether a timer's time is over."""
    return any(seconds <= 0 for seconds in _remaining(trainer).values())


def wait_for_update(trainer: pl.Trainer, is_update: bool) -> None:
    """Put off a timer's stop while a group of micro-batches is unfinished.

    A timer asks anew after each micro-batch. What the group has so far would be lost.
    """
    if trainer.should_stop and not is_update and is_time_up(trainer):
        trainer.should_stop = False


def has_more_time(trainer: pl.Trainer, saved: dict[str, Any]) -> bool:
    """Whether the timers leave a resumed run more time than it has used.

    Args:
        trainer: of the run, before it starts.
        saved: the states of all callbacks in its checkpoint.
    """
    used = {
        key: saved.get(key, {}).get("time_elapsed", {}).get("train", 0)
        for key in _remaining(trainer)
    }
    return all(seconds > used[key] for key, seconds in _remaining(trainer).items())


def _remaining(trainer: pl.Trainer) -> dict[str, float]:
    """Return the seconds that each timer with a limit has left, by the key of its state."""
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    timers = [callback for callback in callbacks if isinstance(callback, Timer)]
    left = {timer.state_key: timer.time_remaining() for timer in timers}
    return {key: seconds for key, seconds in left.items() if seconds is not None}
