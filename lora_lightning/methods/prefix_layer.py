"""The method `prefix_layer`: prefix-layer tuning (PreLayer of Hu et al. 2021, section 5.1).

The activations before each of the L blocks at `length` places in front of every row are trained:
what the block below would compute there is replaced. Tokens attend to these places as to tokens
(`gpt2/prefix.py`), and keep their positions. L · d · length parameters for width d; the LoRA paper
prints 0.35M for GPT-2 Medium and no length: 14 places, 344,064, are the nearest by its formula.
They start as the base's activations for tokens drawn at random.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import GPT2LMHeadModel

from lora_lightning.errors import InputError
from lora_lightning.gpt2.forward import block_inputs, blocks_of
from lora_lightning.gpt2.prefix import NAME, Prefix
from lora_lightning.methods.method import ParameterRow
from lora_lightning.ranges import Count, ranged


@ranged("method")
@dataclass(frozen=True)
class PrefixLayer:
    """Trained activations in front of every row, before every block; all else is frozen.

    Attributes:
        length: number of places.

    Raises:
        InputError: the base has fewer positions than that.
    """

    length: Count

    def apply(self, model: GPT2LMHeadModel) -> None:
        """Freeze `model` and put a prefix into the attention of each block."""
        most = model.config.n_positions
        if self.length > most:
            raise InputError(
                f"method.length={self.length} is more than the base's {most} positions; choose less"
            )
        model.requires_grad_(False)
        states = initial_activations(model, self.length)
        for block, activations in zip(blocks_of(model.transformer), states, strict=True):
            block.attn.add_module(NAME, Prefix(activations, block.ln_1))

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return one row."""
        prefixes = [module for module in model.modules() if isinstance(module, Prefix)]
        length, width = prefixes[0].activations.shape
        formula = f"{len(prefixes)} layers · {length} places · {width}"
        return [
            ParameterRow("transformer.h.*.attn.prefix", formula, len(prefixes) * length * width)
        ]


@torch.no_grad()
def initial_activations(model: GPT2LMHeadModel, length: int) -> list[torch.Tensor]:
    """Return the base's activations before each block for random tokens, (length, width) fp32."""
    weight = model.transformer.wte.weight
    if weight.is_meta:
        return [weight.new_empty(length, weight.shape[1], dtype=torch.float32)
                for _ in blocks_of(model.transformer)]  # fmt: skip
    tokens = torch.randint(len(weight), (length,)).to(weight.device)
    return [state.float() for state in block_inputs(model.transformer, OneRow(tokens))]


@dataclass(frozen=True)
class OneRow:
    """One row of tokens, as packed rows are."""

    input_ids: torch.Tensor

    @property
    def position_ids(self) -> torch.Tensor:
        """Place of each token, (tokens,) int64."""
        return torch.arange(len(self.input_ids), device=self.input_ids.device)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The number of tokens."""
        return (len(self.input_ids),)

    @property
    def boundaries(self) -> torch.Tensor:
        """Begin and end, (2,) int32."""
        return torch.tensor([0, len(self.input_ids)], dtype=torch.int32)
