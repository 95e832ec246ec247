"""Which rows make a batch, and in which order; rows joined to a batch.

The samplers keep count of the batches they gave in every pass. That count, the seed and the rank
decide everything, so it is all that a checkpoint holds, and one checkpoint serves every rank.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, DistributedSampler, Sampler

from lora_lightning.data.encoding import EncodedExample, Row, make_row

ROUND_UP_SEED = 911


class RowDataset(Dataset[tuple[Row, int]]):
    """Rows of a split, made when asked for, each with its number."""

    def __init__(self, encoded: Sequence[EncodedExample], max_length: int) -> None:
        self.encoded = encoded
        self.max_length = max_length

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, row_id: int) -> tuple[Row, int]:
        return make_row(self.encoded[row_id], self.max_length), row_id


class Batch(NamedTuple):
    """Rows end to end, without padding and without their last tokens.

    Nothing follows a row's last token: it has no target, and no other token sees it.

    Attributes:
        input_ids: (tokens,) int64.
        position_ids: place of each token in its row, from 0, (tokens,) int64.
        targets: (tokens,) int64, the next id; 0 where there is none.
        completion_positions: (labels,) int64, where in `targets` the completion ids stand.
        joint_positions: (labels,) int64, where in `targets` ids of the same row stand.
        boundaries: (rows + 1,) int32, where each row begins, and where the last one ends.
        lengths: number of tokens of each row, known without asking the device.
        row_ids: number of each row in its file, from 0.
        row_tokens: context and completion ids of all rows after the cut, last tokens included.
    """

    input_ids: Tensor
    position_ids: Tensor
    targets: Tensor
    completion_positions: Tensor
    joint_positions: Tensor
    boundaries: Tensor
    lengths: tuple[int, ...]
    row_ids: tuple[int, ...]
    row_tokens: int


def collate(rows: Sequence[Row], row_ids: Sequence[int]) -> Batch:
    """Join rows to a batch."""
    kept = [_without_last_token(row) for row in rows]
    lengths = tuple(len(row.input_ids) for row in kept)
    return Batch(
        input_ids=torch.cat([row.input_ids for row in kept]),
        position_ids=torch.cat([torch.arange(length) for length in lengths]),
        targets=torch.cat([row.targets for row in kept]),
        # Found here, on the host: to look for them on a GPU would make the host wait.
        completion_positions=torch.cat([row.completion_mask for row in kept]).nonzero()[:, 0],
        joint_positions=torch.cat([row.joint_mask for row in kept]).nonzero()[:, 0],
        boundaries=torch.tensor([0, *accumulate(lengths)], dtype=torch.int32),
        lengths=lengths,
        row_ids=tuple(row_ids),
        row_tokens=sum(len(row.input_ids) for row in rows),
    )


def _without_last_token(row: Row) -> Row:
    """Leave out the last token, unless there is no other."""
    length = max(1, len(row.input_ids) - 1)
    return Row(*(tensor[:length] for tensor in row))


def collate_pairs(pairs: list[tuple[Row, int]]) -> Batch:
    """Join what `RowDataset` gives to a batch."""
    rows, row_ids = zip(*pairs, strict=True)
    return collate(rows, row_ids)


def padded(batch: Batch, labelled: Tensor) -> dict[str, Tensor]:
    """Return a batch as transformers' models take it: rows side by side, padded with zeros.

    Args:
        batch: the rows, end to end.
        labelled: positions in `targets` that the loss looks at, (labels,) int64.

    Returns:
        `input_ids`, `attention_mask` and `labels`, each (rows, tokens) int64, the last token of
        each row among them; `labels` are -100 where the loss does not look.
    """
    labels = torch.full_like(batch.targets, -100)
    labels[labelled] = batch.targets[labelled]
    ids, kept = [], []
    for row, row_labels in zip(
        batch.input_ids.split(batch.lengths), labels.split(batch.lengths), strict=True
    ):
        last = row_labels[-1:]  # the token that no other sees, where there is one to be learnt
        last = last[last != -100]
        ids.append(torch.cat([row, last]))
        kept.append(torch.cat([row.new_full((1,), -100), row_labels[: len(row) - 1], last]))
    return {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "labels": pad_sequence(kept, batch_first=True, padding_value=-100),
    }


def number_of_batches(size: int, batch_size: int) -> int:
    """Return how many batches `size` rows make, the last one perhaps short or rounded up."""
    return -(-size // batch_size)


class BatchSampler(Sampler[list[int]]):
    """Gives lists of row ids, pass after pass, and can go on from a checkpoint within a pass.

    A pass begins with the first batch asked for: an iterator that nobody uses does not count.
    Its length is that of a whole pass, also where the pass goes on from a checkpoint.
    """

    def __init__(self, size: int, batch_size: int, world_size: int, rank: int) -> None:
        self.size = size
        self.batch_size = batch_size
        self.world_size = world_size
        self.rank = rank
        self._batches_given: list[int] = []
        self._within_pass = False

    def __len__(self) -> int:
        raise NotImplementedError

    def __iter__(self) -> Iterator[list[int]]:
        if not self._within_pass:
            self._batches_given.append(0)
        self._within_pass = False
        passes, done = len(self._batches_given), self._batches_given[-1]
        for positions in self._positions(passes)[done:]:
            self._batches_given[-1] += 1
            yield self._rows(positions)

    def state_dict(self) -> dict[str, list[int]]:
        """Return the number of batches given in each pass so far."""
        return {"batches_given": list(self._batches_given)}

    def load_state_dict(self, state: dict[str, list[int]]) -> None:
        """Go on where the sampler stood that gave `state`: within its last pass or after it."""
        self._batches_given = list(state["batches_given"])
        self._within_pass = bool(self._batches_given) and self._goes_on(self._batches_given[-1])

    def _goes_on(self, batches_given: int) -> bool:
        return batches_given < len(self)

    def _positions(self, passes: int) -> list[list[int]]:
        """Return the positions of every batch of a pass, passes counted from 1."""
        raise NotImplementedError

    def _rows(self, positions: list[int]) -> list[int]:
        """Return the row ids at these positions; called once for each batch given, in order."""
        return positions


class ReferenceBatchSampler(BatchSampler):
    """The reference's order of rows: shuffled, its size rounded up to whole batches.

    Positions past the last row become random rows, drawn from a generator with a fixed seed when
    a batch is given. The generator lives on over the passes and every rank has its own.

    Args:
        size: number of rows.
        batch_size: rows per batch and rank.
        world_size: number of ranks; the shuffled positions are dealt out in turn.
        rank: this process.
        seed: of the shuffle.
        drop_last: drop this rank's last batch where it is short (training).
        fixed_epoch: shuffle every pass as this epoch (validation: 0); None counts the passes
            from 1 (training).
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        world_size: int = 1,
        rank: int = 0,
        seed: int = 0,
        drop_last: bool = False,
        fixed_epoch: int | None = None,
    ) -> None:
        super().__init__(size, batch_size, world_size, rank)
        self.drop_last = drop_last
        self.fixed_epoch = fixed_epoch
        rounded = number_of_batches(size, batch_size) * batch_size
        self._shuffle: DistributedSampler[int] = DistributedSampler(
            range(rounded),  # type: ignore[arg-type]  # only its length counts
            world_size,
            rank,
            seed=seed,
        )
        self._round_up = Random(ROUND_UP_SEED)

    def __len__(self) -> int:
        positions = len(self._shuffle)
        if self.drop_last:
            return positions // self.batch_size
        return number_of_batches(positions, self.batch_size)

    def load_state_dict(self, state: dict[str, list[int]]) -> None:
        """Go on where the sampler stood that gave `state`, round-up rows included."""
        super().load_state_dict(state)
        self._round_up = Random(ROUND_UP_SEED)
        for passes, batches_given in enumerate(self._batches_given, start=1):
            for positions in self._positions(passes)[:batches_given]:
                self._rows(positions)

    def _goes_on(self, batches_given: int) -> bool:
        # A validation that ended early (a limit on its batches) is over.
        return self.fixed_epoch is None and super()._goes_on(batches_given)

    def _positions(self, passes: int) -> list[list[int]]:
        self._shuffle.set_epoch(passes if self.fixed_epoch is None else self.fixed_epoch)
        positions = list(self._shuffle)
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        return [positions[start : start + self.batch_size] for start in starts]

    def _rows(self, positions: list[int]) -> list[int]:
        return [
            position if position < self.size else self._round_up.randint(0, self.size - 1)
            for position in positions
        ]


class InOrderBatchSampler(BatchSampler):
    """Rows in the order of the file: batch i holds rows i·B to (i+1)·B − 1, the last may be short.

    Args:
        size: number of rows.
        batch_size: rows per batch, B.
        world_size: number of ranks.
        rank: this process; it takes batches rank, rank + world_size, …
        in_step: give every rank equally many batches by dropping an incomplete last round, as
            training must: ranks wait for each other at every batch.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        world_size: int = 1,
        rank: int = 0,
        in_step: bool = False,
    ) -> None:
        super().__init__(size, batch_size, world_size, rank)
        self.in_step = in_step

    def __len__(self) -> int:
        batches = number_of_batches(self.size, self.batch_size)
        rounds = batches // self.world_size
        return rounds + (not self.in_step and self.rank < batches % self.world_size)

    def _goes_on(self, batches_given: int) -> bool:
        return self.in_step and super()._goes_on(batches_given)

    def _positions(self, passes: int) -> list[list[int]]:
        own = range(self.rank, self.rank + len(self) * self.world_size, self.world_size)
        starts = [batch * self.batch_size for batch in own]
        return [list(range(start, min(start + self.batch_size, self.size))) for start in starts]
