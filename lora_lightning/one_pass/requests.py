"""What a job asks for, and waits for until its next turn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor
from transformers import GPT2LMHeadModel

from lora_lightning.decoding.settings import BeamSettings
from lora_lightning.gpt2.forward import Execution
from lora_lightning.gpt2.packing import Packing
from lora_lightning.gpt2.rows import PackedRows
from lora_lightning.one_pass.precision import Precision


@dataclass(frozen=True, eq=False)
class Forward:
    """A wish for hidden states.

    Attributes:
        model: whose.
        rows: its micro-batch, or a part of it.
        wanted: positions, (wanted,) int64.
        execution: how the blocks are run; jobs of one pass run them alike.
        is_training: whether the gradient will be asked for.
        is_last: whether a micro-batch to train on ends with it. Every rank has as many of these,
            but not of the parts before, nor of a validation's batches.
        precision: in which it computes.
    """

    model: GPT2LMHeadModel
    rows: PackedRows
    wanted: Tensor
    execution: Execution
    is_training: bool
    is_last: bool
    precision: Precision


@dataclass(frozen=True, eq=False)
class Backward:
    """A wish for the gradient of a loss, ()."""

    loss: Tensor


@dataclass(frozen=True, eq=False)
class Meeting:
    """A wish to go on once every rank has done what is before it."""


@dataclass(eq=False)
class Decoding:
    """Queries whose texts a job takes one by one; the arguments of `decode_contexts`.

    Attributes:
        model: unmerged; it does not change until all texts are found.
        queries: token ids of each.
        settings: how to search.
        batch_size: queries at once.
        max_memory: bytes under `auto`; None: what the device has.
        packing: whether the weights are laid out for the CPU's products.
        precision: in which it computes.
        left: numbers of the queries without a text.
        is_alone: whether it is searched for by itself, since a search of several failed.
    """

    model: GPT2LMHeadModel
    queries: Sequence[list[int]]
    settings: BeamSettings
    batch_size: int | Literal["auto"]
    max_memory: int | None
    packing: Packing
    precision: Precision
    left: list[int] = field(default_factory=list)
    is_alone: bool = False


@dataclass(frozen=True, eq=False)
class NextText:
    """A wish for the next query that is done, with its hypotheses."""

    decoding: Decoding
