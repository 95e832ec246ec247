"""What a job takes for its own although the process has it once: exchanged as jobs take turns.

Random numbers, the environment, the working folder, Hydra's config, and where the log goes. What a
thread has once, gradients and precision, is `unchanged_by_jobs`.
"""

import logging
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from torch import Tensor


class ProcessState:
    """The state of the process as it is now.

    Attributes:
        of_torch: torch's random numbers, of the CPU and the GPU.
        handlers: of the root logger.
    """

    def __init__(self) -> None:
        self._python: Any = random.getstate()
        self._numpy: Any = np.random.get_state()
        self.of_torch = _torch_states()
        self._environment = dict(os.environ)
        self._folder = os.getcwd()
        self._hydra = HydraConfig.instance().cfg
        root = logging.getLogger()
        self.handlers = root.handlers[:]
        self._level = root.level

    def restore(self) -> None:
        """Put the process into this state."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        _set_torch_states(self.of_torch)
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        if os.getcwd() != self._folder:
            os.chdir(self._folder)
        HydraConfig.instance().cfg = self._hydra
        root = logging.getLogger()
        root.handlers[:] = self.handlers
        root.setLevel(self._level)

    @contextmanager
    def random_numbers(self) -> Iterator[None]:
        """Context in which torch draws this state's random numbers, which go on from there."""
        earlier = _torch_states()
        _set_torch_states(self.of_torch)
        try:
            yield
        finally:
            self.of_torch = _torch_states()
            _set_torch_states(earlier)


@contextmanager
def unchanged_by_jobs() -> Iterator[None]:
    """Context in which gradients and precision are as where nobody has changed them."""
    devices = [name for name in ("cpu", "cuda") if torch.is_autocast_enabled(name)]
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in devices:
            stack.enter_context(torch.autocast(device, enabled=False))
        yield


def _torch_states() -> tuple[Tensor, Tensor | None]:
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    return torch.get_rng_state(), torch.cuda.get_rng_state() if on_gpu else None


def _set_torch_states(states: tuple[Tensor, Tensor | None]) -> None:
    on_cpu, on_gpu = states
    torch.set_rng_state(on_cpu)
    if on_gpu is not None:
        torch.cuda.set_rng_state(on_gpu)
