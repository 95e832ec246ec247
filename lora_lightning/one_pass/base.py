"""One base for many trainings: the frozen tensors that they have in common, kept once."""

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from lora_lightning.gpt2.projection import GPT2Projection, PackedCopies
from lora_lightning.methods.base import base_tensors


class SharedBase:
    """The frozen tensors of the first training, which all later ones of the same content use.

    Compared is the content, not where it came from: what a method or an adapter's file changed
    stays the training's own.
    """

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}
        self._packed: dict[int, PackedCopies] = {}

    def own_bytes(self, model: GPT2LMHeadModel) -> int:
        """Return the size of what `model` shares with no other."""
        shared = {tensor.data_ptr() for tensor in self._tensors.values()}
        tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
        return sum(tensor.nbytes for place, tensor in tensors.items() if place not in shared)

    @torch.no_grad()
    def share_with(self, model: GPT2LMHeadModel, device: torch.device) -> None:
        """Put the shared tensors in the place of equal ones of `model`, on `device`."""
        for name, tensor in base_tensors(model).items():
            if tensor.requires_grad or not isinstance(tensor, nn.Parameter):
                continue
            kept = self._tensors.setdefault(name, tensor.detach().to(device))
            if tensor.dtype == kept.dtype and torch.equal(tensor.detach().to(device), kept):
                tensor.data = kept
        for module in model.modules():
            if isinstance(module, GPT2Projection) and module.packed is not None:
                packed = self._packed.setdefault(module.weight.data_ptr(), module.packed)
                module.keep_packed(packed)
