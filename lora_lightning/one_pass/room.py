"""How many trainings memory has room for at once."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import psutil
import torch

from lora_lightning.training.memory import MemoryEstimate

log = logging.getLogger(__name__)


class Reserved(NamedTuple):
    """What a training will take, and on which device."""

    memory: MemoryEstimate
    device: torch.device


class Room:
    """The memory of the jobs that live at a time.

    Args:
        given: bytes for all of them and their base; None: what is free beside the base, once it
            is loaded.
        tokens_at_once: tokens of as many micro-batches as are computed together on a CPU, which
            keeps activations of no more.
        processes: that share the memory of a CPU.
    """

    def __init__(self, given: int | None, tokens_at_once: int, processes: int = 1) -> None:
        self._available = given
        self._processes = processes
        self._tokens_at_once = tokens_at_once
        self._has_said = False

    def has_place(self, living: Sequence[Reserved]) -> bool:
        """Return whether one more such as the largest of the living ones fits, and say if not."""
        if not living:
            return True
        device = living[0].device
        if self._available is None:
            self._available = _free(device, self._processes)
        largest = max((one.memory for one in living), key=lambda memory: memory.peak)
        needed = self._peak([*(one.memory for one in living), largest], device)
        has_place = needed <= self._available
        if not has_place and not self._has_said:
            log.info(
                "one pass      %d at once, the next begins where one ends: one more would "
                "take %.1f MB of %.1f MB (hydra.launcher.memory)",
                len(living),
                needed / 1e6,
                self._available / 1e6,
            )
            self._has_said = True
        return has_place

    def _peak(self, trainings: Sequence[MemoryEstimate], device: torch.device) -> int:
        """Return the bytes of trainings, with one base: that which the newest one loads."""
        activations = sum(one.activations for one in trainings)
        if device.type == "cpu":
            most = max(
                one.activations * max(1, self._tokens_at_once // max(1, one.tokens))
                for one in trainings
            )
            activations = min(activations, most)
        weights = max(one.weights for one in trainings)
        return weights + sum(one.training for one in trainings) + activations


def _free(device: torch.device, processes: int) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available) // processes
