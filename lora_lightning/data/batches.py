"""A data set's rows as batches, for Lightning's Trainer."""

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import DataLoader

from lora_lightning.data.batching import (
    Batch,
    BatchSampler,
    InOrderBatchSampler,
    ReferenceBatchSampler,
    RowDataset,
    collate_pairs,
    number_of_batches,
)
from lora_lightning.data.buckets import BucketBatchSampler
from lora_lightning.data.cache import cache_key, cached_rows
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.data.encoded_rows import EncodedRows
from lora_lightning.data.encoding import encode_examples
from lora_lightning.data.tokenizer import Tokenizer
from lora_lightning.errors import InputError


class Batches(LightningDataModule):
    """The batches of each rank, in the reference's order or the file's.

    Build the Trainer with `use_distributed_sampler=False`: the batches are dealt out to the ranks
    here.

    Args:
        rows: the data set.
        tokenizer: turns its texts into token ids.
        seed: of the shuffle.
    """

    def __init__(self, rows: DataToTextModule, tokenizer: Tokenizer, seed: int) -> None:
        super().__init__()
        self.rows, self.tokenizer, self.seed = rows, tokenizer, seed
        self._encoded: dict[str, EncodedRows] = {}
        self._samplers: dict[str, BatchSampler] = {}
        self._sampler_states: dict[str, Any] = {}

    def encoded(self, split: str) -> EncodedRows:
        """Return the token ids of the rows of a split, not cut.

        Raises:
            InputError: as `examples`, or a given token id is outside the vocabulary.
        """
        if split not in self._encoded:
            rows = self.rows
            settings = [rows.limits[split], rows.reading]
            key = cache_key(rows.checksum(split), type(rows), self.tokenizer, settings)
            self._encoded[split] = cached_rows(
                rows.cache_dir, key, lambda: self._encode(split), str(rows.found(split))
            )
        return self._encoded[split]

    def _encode(self, split: str) -> EncodedRows:
        examples = self.rows.examples(split)
        try:
            return EncodedRows.join(encode_examples(examples, self.tokenizer))
        except InputError as error:
            raise InputError(f"{self.rows.found(split)}: {error}") from None

    def cut_rows(self, split: str) -> tuple[int, int]:
        """Return (rows cut to `max_length`, all rows) of a split."""
        lengths = self.encoded(split).lengths
        return sum(length > self.rows.max_length for length in lengths), len(lengths)

    def unlabelled_rows(self, split: str) -> tuple[int, int]:
        """Return (rows of whose completion `max_length` leaves nothing, all rows) of a split."""
        rows = self.encoded(split)
        return sum(not labels for labels in rows.labels(self.rows.max_length)), len(rows)

    @property
    def batches_per_epoch(self) -> int:
        """Micro-batches in the training rows, over all ranks: rows / batch size, rounded up."""
        if self.rows.in_buckets:
            return self._bucket_sampler(1, 0).batches_per_pass
        return number_of_batches(len(self.encoded("train")), self.rows.batch_sizes["train"])

    def micro_batches(self, max_epochs: int, world_size: int) -> int:
        """Return the micro-batches per rank of a training run.

        With `shuffle` this is the reference's ceil(epochs · batches / world), which sets the
        length of its schedules although dropped short batches can make the run shorter.
        """
        if self.rows.shuffle and not self.rows.in_buckets:
            return number_of_batches(max_epochs * self.batches_per_epoch, world_size)
        return max_epochs * (self.batches_per_epoch // world_size)

    def validation_batches(self, world_size: int) -> int:
        """Return the validation batches of the rank that has the fewest."""
        return len(self._make_sampler("valid", world_size, rank=world_size - 1))

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the training batches of this rank; each pass over it is the next epoch.

        Raises:
            InputError: as `encoded`, or there is no whole batch for every rank.
        """
        return self._loader("train")

    def first_epoch(self, world_size: int) -> Iterator[Batch]:
        """Yield the training batches of the first epoch, all ranks' in turn, for a look ahead.

        The loaders do not go on by that.

        Raises:
            InputError: as `encoded`.
        """
        rows = RowDataset(self.encoded("train"), self.rows.max_length)
        samplers = [self._make_sampler("train", world_size, rank) for rank in range(world_size)]
        for step in zip(*samplers, strict=False):
            for row_ids in step:
                yield collate_pairs([rows[row_id] for row_id in row_ids])

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation batches of this rank; the round-up generator goes on over calls.

        Raises:
            InputError: as `encoded`, or a rank has no batch.
        """
        return self._loader("valid")

    def state_dict(self) -> dict[str, Any]:
        """Return where the samplers stand; the same for every rank."""
        states = {split: sampler.state_dict() for split, sampler in self._samplers.items()}
        return {**self._sampler_states, **states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the samplers go on from `state_dict`."""
        self._sampler_states = dict(state_dict)
        for split, sampler in self._samplers.items():
            if split in state_dict:
                sampler.load_state_dict(state_dict[split])

    def _loader(self, split: str) -> DataLoader[Batch]:
        if split not in self._samplers:
            self._samplers[split] = self._start_sampler(split)
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return DataLoader(
            RowDataset(self.encoded(split), self.rows.max_length),  # type: ignore[arg-type]
            batch_sampler=self._samplers[split],
            collate_fn=collate_pairs,
            num_workers=0,
            pin_memory=on_gpu,
            # An iterator draws a seed that no worker needs: not from dropout's random numbers.
            generator=torch.Generator(),
        )

    def _start_sampler(self, split: str) -> BatchSampler:
        world = 1 if self.trainer is None else self.trainer.world_size
        rank = 0 if self.trainer is None else self.trainer.global_rank
        # The last rank has the fewest batches; every rank looks at it, so that all fail together.
        if len(self._make_sampler(split, world, rank=world - 1)) == 0:
            key = {"train": "batch_size", "valid": "valid_batch_size"}[split]
            raise InputError(
                f"data.{key}={self.rows.batch_sizes[split]}: {len(self.encoded(split))} rows of"
                f" {split} give no batch to some of {world} ranks; lower it or use fewer devices"
            )
        sampler = self._make_sampler(split, world, rank)
        if split in self._sampler_states:
            sampler.load_state_dict(self._sampler_states[split])
        if split == "train" and not self.rows.shuffle:
            _warn_of_dropped(self.batches_per_epoch % world)
        return sampler

    def _make_sampler(self, split: str, world: int, rank: int) -> BatchSampler:
        size, batch_size = len(self.encoded(split)), self.rows.batch_sizes[split]
        training = split == "train"
        if training and self.rows.in_buckets:
            return self._bucket_sampler(world, rank)
        if not self.rows.shuffle or (self.rows.round_up == "none" and not training):
            return InOrderBatchSampler(size, batch_size, world, rank, in_step=training)
        epoch = None if training else 0
        return ReferenceBatchSampler(
            size, batch_size, world, rank, self.seed, drop_last=training, fixed_epoch=epoch
        )

    def lengths(self, split: str) -> list[int]:
        """Return the tokens of each row of a split, after the cut."""
        return [min(length, self.rows.max_length) for length in self.encoded(split).lengths]

    def _bucket_sampler(self, world: int, rank: int) -> BucketBatchSampler:
        size, tokens = self.rows.batch_sizes["train"], self.rows.batch_tokens
        return BucketBatchSampler(self.lengths("train"), size, tokens, world, rank, self.seed)


def _warn_of_dropped(batches: int) -> None:
    if batches:
        rank_zero_warn(
            f"data.shuffle=false: the last {batches} training batches are fewer than the ranks"
            " and are dropped, as ranks must step together"
        )
