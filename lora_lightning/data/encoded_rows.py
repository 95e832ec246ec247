"""Token ids of many examples in three tensors, which can lie in a file and be shared from there."""

from array import array
from collections.abc import Iterable, Sequence
from typing import overload

import torch
from torch import Tensor

from lora_lightning.data.encoding import EncodedExample


class EncodedRows(Sequence[EncodedExample]):
    """A read-only sequence of examples, each made when it is asked for.

    Args:
        ids: of all rows end to end, contexts before their completions, (tokens,) int32.
        context_lengths: ids of each context, (rows,) int32.
        completion_lengths: ids of each completion, (rows,) int32.
    """

    def __init__(self, ids: Tensor, context_lengths: Tensor, completion_lengths: Tensor) -> None:
        self.ids = ids
        self.context_lengths = context_lengths
        self.completion_lengths = completion_lengths
        lengths = context_lengths.long() + completion_lengths
        self.lengths: list[int] = lengths.tolist()  # before any cut
        self._ends: list[int] = lengths.cumsum(0).tolist()
        self._contexts: list[int] = context_lengths.tolist()

    @classmethod
    def join(cls, examples: Iterable[EncodedExample]) -> "EncodedRows":
        """Put examples end to end."""
        ids, contexts, completions = (array("i") for _ in range(3))
        for example in examples:
            ids.extend(example.context_ids)
            ids.extend(example.completion_ids)
            contexts.append(len(example.context_ids))
            completions.append(len(example.completion_ids))
        return cls(*(
            torch.asarray(part, dtype=torch.int32) if part else torch.empty(0, dtype=torch.int32)
            for part in (ids, contexts, completions)
        ))  # fmt: skip

    def tensors(self) -> dict[str, Tensor]:
        """Return the arguments by name."""
        return {
            "ids": self.ids,
            "context_lengths": self.context_lengths,
            "completion_lengths": self.completion_lengths,
        }

    def labels(self, max_length: int) -> list[int]:
        """Return how many completion ids of each row a model of `max_length` ids is asked for."""
        ends = (self.context_lengths.long() + self.completion_lengths).clamp(max=max_length)
        asked = ends - self.context_lengths.clamp(min=1)  # nothing comes before the first id
        return asked.clamp(min=0).tolist()

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, row: int) -> EncodedExample: ...

    @overload
    def __getitem__(self, row: slice) -> list[EncodedExample]: ...

    def __getitem__(self, row: int | slice) -> EncodedExample | list[EncodedExample]:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        end = self._ends[row]
        ids = self.ids[end - self.lengths[row] : end].tolist()
        return EncodedExample(ids[: self._contexts[row]], ids[self._contexts[row] :])
