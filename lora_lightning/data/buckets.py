"""Batches of rows of similar length, of a number of rows or of tokens."""

from collections.abc import Iterator, Sequence

import torch

from lora_lightning.data.batching import BatchSampler
from lora_lightning.errors import InputError


class BucketBatchSampler(BatchSampler):
    """Rows of similar length together, in another order every pass.

    A pass shuffles the rows, sorts them by length, so that rows of one length stay shuffled, cuts
    the sorted rows into batches, and shuffles those. Ranks take them in turn. So the seed alone
    decides the batches and their order, not the number of ranks; an incomplete last round of ranks
    is dropped, as ranks must step together.

    Args:
        lengths: tokens of each row, after the cut.
        batch_size: rows per batch; the last one cut off may be short.
        batch_tokens: instead, the most tokens per batch.
        world_size: number of ranks.
        rank: this process.
        seed: of the order.

    Raises:
        InputError: a row has more than `batch_tokens` tokens.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        batch_tokens: int | None = None,
        world_size: int = 1,
        rank: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(len(lengths), batch_size, world_size, rank)
        if batch_tokens is not None and max(lengths) > batch_tokens:
            raise InputError(
                f"data.batch_tokens={batch_tokens}: the longest row has {max(lengths)} tokens; "
                "raise it, or lower data.max_length"
            )
        self.lengths = lengths
        self.batch_tokens = batch_tokens
        self.seed = seed
        # Every pass sorts the same lengths, so the batches have the same sizes in each.
        self.batches_per_pass = sum(
            1 for _ in self._cut(sorted(range(self.size), key=self._length))
        )

    def __len__(self) -> int:
        return self.batches_per_pass // self.world_size

    def _length(self, row: int) -> int:
        return self.lengths[row]

    def _positions(self, passes: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(self.seed + passes)
        shuffled = torch.randperm(self.size, generator=generator).tolist()
        batches = list(self._cut(sorted(shuffled, key=self._length)))
        order = torch.randperm(len(batches), generator=generator).tolist()
        own = order[self.rank :: self.world_size][: len(self)]
        return [batches[number] for number in own]

    def _cut(self, rows: list[int]) -> Iterator[list[int]]:
        """Cut sorted rows into batches, each as full as its limit allows."""
        batch: list[int] = []
        tokens = 0
        for row in rows:
            if batch and self._is_full(len(batch), tokens + self.lengths[row]):
                yield batch
                batch, tokens = [], 0
            batch.append(row)
            tokens += self.lengths[row]
        if batch:
            yield batch

    def _is_full(self, rows: int, tokens_with_next: int) -> bool:
        if self.batch_tokens is not None:
            return tokens_with_next > self.batch_tokens
        return rows == self.batch_size
