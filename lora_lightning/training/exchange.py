"""DDP without its hooks: gradients are exchanged once a backward pass has ended."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
import torch.distributed
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn


class ExchangeAfterBackward(DDPStrategy):
    """DDP for a model whose backward pass serves other models as well.

    DDP's hooks exchange while a backward pass runs. Where ranks join other models in one pass, they
    would come to the exchanges in another order. What comes out is the same: each gradient is the
    mean of the ranks', taken at the last micro-batch of an update.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exchanges = True

    def configure_ddp(self) -> None:
        """Let all ranks begin with what rank 0 trains."""
        assert self.lightning_module is not None
        for tensor in _trained(self.lightning_module):
            torch.distributed.broadcast(tensor.data, src=0)

    @contextmanager
    def block_backward_sync(self) -> Generator[None]:
        """Context of a micro-batch whose gradient is exchanged with a later one's."""
        self._exchanges = False
        try:
            yield
        finally:
            self._exchanges = True

    def post_backward(self, closure_loss: Tensor) -> None:
        """Put the mean over ranks in the place of each gradient."""
        if self._exchanges and self.lightning_module is not None:
            average_gradients(self.lightning_module)


def average_gradients(module: nn.Module) -> None:
    """Put the mean over ranks in the place of each gradient; all ranks have the same ones."""
    gradients = [tensor.grad for tensor in _trained(module) if tensor.grad is not None]
    if not gradients:
        return
    joined = torch.cat([gradient.flatten() for gradient in gradients])
    joined /= torch.distributed.get_world_size()
    torch.distributed.all_reduce(joined)
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, mean in zip(gradients, joined.split(sizes), strict=True):
        gradient.copy_(mean.view_as(gradient))


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
