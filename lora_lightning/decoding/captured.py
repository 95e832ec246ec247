"""Steps without the host: on a GPU a step is recorded once and then replayed."""

from collections.abc import Callable

import torch

from lora_lightning.decoding.beam import BeamState

WARM_UP = 2  # steps run as they are before one is recorded, so that libraries can set themselves up


class CapturedStep:
    """A step of the search as a CUDA graph, over tensors that stay where they are.

    Args:
        step: state before -> state after; no value may reach the host, all shapes are fixed, and
            whatever else it changes, it changes in place.
        state: the state before; it is copied.
    """

    def __init__(self, step: Callable[[BeamState], BeamState], state: BeamState) -> None:
        self.step = step
        self.state = BeamState.of(field.clone() for field in state.tensors())
        self.graph: torch.cuda.CUDAGraph | None = None
        self._steps = 0

    def load(self, state: BeamState) -> None:
        """Take over another state of the same shapes."""
        for mine, other in zip(self.state.tensors(), state.tensors(), strict=True):
            mine.copy_(other)

    def run(self, count: int) -> BeamState:
        """Run some steps; the returned state changes with the next call."""
        for _ in range(count):
            if self.state.scores.device.type != "cuda":
                self._once()
            elif self._steps < WARM_UP:
                self._warm_up()
            else:
                self._replay()
            self._steps += 1
        return self.state

    def _once(self) -> None:
        self.load(self.step(self.state))

    def _warm_up(self) -> None:
        # Recording wants what comes before it to run on another stream than the default one.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._once()
        torch.cuda.current_stream().wait_stream(stream)

    def _replay(self) -> None:
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):  # records; nothing runs yet
                self._once()
        self.graph.replay()
