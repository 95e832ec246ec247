"""A decoding's place among others that share their base and the search."""

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Literal, Protocol

from lora_lightning.decoding.hypotheses import Hypothesis
from lora_lightning.decoding.settings import BeamSettings
from lora_lightning.gpt2.packing import Packing


class DecodingSeat(Protocol):
    """What decodes in a decoding's stead, together with the others."""

    def decode(
        self,
        model: Any,
        queries: Sequence[list[int]],
        settings: BeamSettings,
        batch_size: int | Literal["auto"],
        max_memory: int | None,
        packing: Packing,
    ) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Decode as `decode_contexts`, with a model whose adapters may be unmerged."""

    def meet(self) -> None:
        """Wait until every rank has come here, after what ranks do more or less of."""


DECODING_SEAT: ContextVar[DecodingSeat | None] = ContextVar("DECODING_SEAT", default=None)
"""Of the decoding that runs in this context; None where it has its base for itself."""
