"""The method `top2`: the base's last blocks are trained as they are (FT-Top2, Hu et al. 2021).

Two blocks by default, and neither the final layer norm nor the embeddings: 12 d² + 13 d parameters
a block of width d, 25,192,448 for GPT-2 Medium.
"""

from dataclasses import dataclass

from torch import nn
from transformers import GPT2LMHeadModel

from lora_lightning.errors import InputError
from lora_lightning.gpt2.forward import blocks_of
from lora_lightning.methods.method import ParameterRow, tensor_rows
from lora_lightning.ranges import Count, ranged


@ranged("method")
@dataclass(frozen=True)
class TopBlocks:
    """Fine-tuning of the last blocks; all else is frozen.

    Attributes:
        blocks: how many.

    Raises:
        InputError: the base has fewer.
    """

    blocks: Count

    def apply(self, model: GPT2LMHeadModel) -> None:
        """Freeze `model` but for its last blocks."""
        blocks = blocks_of(model.transformer)
        if self.blocks > len(blocks):
            raise InputError(
                f"method.blocks={self.blocks} is more than the base's {len(blocks)} blocks; choose "
                "less, or set method=full"
            )
        model.requires_grad_(False)
        for block in blocks[len(blocks) - self.blocks :]:
            block.requires_grad_(True)

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return one row for each kind of tensor."""
        return tensor_rows((n, p) for n, p in model.named_parameters() if p.requires_grad)
