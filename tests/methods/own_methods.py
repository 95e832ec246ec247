"""Methods as users of the package would write them."""

import torch
from torch import nn

from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.method import tensor_rows


class ScaledLayer(LoRALayer):
    """One more tensor, in the update."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.learnt = nn.Parameter(torch.ones(()))

    def expansion(self):
        return self.learnt * super().expansion()


class Scaled(LoRA):
    layer_type = ScaledLayer


class TrainedScaleLayer(LoRALayer):
    """A tensor in the place of a number."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.scale = nn.Parameter(torch.tensor(self.scale))


class TrainedScale(LoRA):
    layer_type = TrainedScaleLayer


class GatedLayer(LoRALayer):
    """Another forward pass, which no one told `delta_weight` about."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.gate = nn.Parameter(torch.ones(self.out_features))

    def forward(self, x):
        return self.gate * super().forward(x)


class Gated(LoRA):
    layer_type = GatedLayer


class Counted(LoRA):
    """The tensors of LoRA, another layer."""

    class Layer(LoRALayer):
        def add_update(self, frozen, x, expansion):
            return frozen + torch.tanh(super().add_update(frozen, x, expansion) - frozen)

    layer_type = Layer


class Bottleneck(nn.Module):
    """A layer of no class of ours: a base under a name of its own, a frozen random buffer."""

    def __init__(self, inner, width):
        super().__init__()
        self.up = nn.Linear(width, inner.nf)
        nn.init.zeros_(self.up.weight)
        self.inner = inner
        self.register_buffer("down", torch.randn(inner.nx, width))
        self.register_buffer("uses", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.uses += 1
        return self.inner(x) + self.up(torch.tanh(x @ self.down))


class FromScratch:
    """A method of no class of ours, that also trains tensors of the base."""

    def __init__(self, width=3):
        self.width = width

    def apply(self, model):
        model.requires_grad_(False)
        for block in model.transformer.h:
            block.mlp.c_proj = Bottleneck(block.mlp.c_proj, self.width)
            block.ln_1.requires_grad_(True)

    def parameter_table(self, model):
        return tensor_rows((n, p) for n, p in model.named_parameters() if p.requires_grad)


class OwnState(FromScratch):
    """Written under names of its own, one of its tensors left out."""

    def __init__(self, forgets=True):
        super().__init__()
        self.forgets = forgets

    def state(self, model):
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        return dict([(f"mine.{n}", p) for n, p in trained.items()][int(self.forgets) :])
