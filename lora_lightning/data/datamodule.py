"""What the data modules share: everything after the raw-file reader."""

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

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
from lora_lightning.data.encoded_rows import EncodedRows
from lora_lightning.data.encoding import (
    Context,
    encode_contexts,
    encode_examples,
)
from lora_lightning.data.example import Example, first_contexts, require_examples, require_path
from lora_lightning.data.sources import content_sha256, name_beside
from lora_lightning.data.tokenizer import Tokenizer
from lora_lightning.errors import InputError
from lora_lightning.ranges import GIVEN, Count, CountOrZero, Seed, Text, Tokens, ranged

SPLITS = ("train", "valid", "test")


@ranged("data")
class DataToTextModule(LightningDataModule):
    """Batches, examples and contexts of a data set; a subclass says where its rows come from.

    Only the files of the split asked for are read, once. Build the Trainer with
    `use_distributed_sampler=False`: the batches are dealt out to the ranks here.

    Args:
        tokenizer: turns texts into token ids; None where only the texts of `examples` are read.
        seed: of the shuffle.
        batch_size: training rows per process and micro-batch.
        valid_batch_size: validation rows per process and batch; the reference's average over
            batches depends on it.
        batch_tokens: make training batches of rows of similar length, as many as have at most so
            many tokens, whatever `batch_size`; None leaves the number of rows to `batch_size`.
        bucket_by_length: make training batches of `batch_size` rows of similar length.
        max_length: longer rows are cut to so many ids.
        shuffle: the reference's order with its round-up rows; false: the order of the file.
        round_up: `reference`: random rows complete the last validation batch, other ones in every
            validation; `none`: validation has each row once, in the order of the file, and a last
            batch that may be short.
        limit_train: keep the first so many training rows; None keeps all.
        limit_valid: as `limit_train`, of the validation rows.
        limit_test: keep the first so many distinct contexts of the test split, with all their
            texts; None keeps all.
        cache_dir: where encoded rows are kept for later runs; None keeps none.

    Raises:
        InputError: a value is out of range.
    """

    def __init__(
        self,
        *,
        tokenizer: Tokenizer | None,
        seed: Annotated[Seed, GIVEN],
        batch_size: Count = 8,
        valid_batch_size: Count = 4,
        batch_tokens: Count | None = None,
        bucket_by_length: bool = False,
        max_length: Tokens = 512,
        shuffle: bool = True,
        round_up: Literal["reference", "none"] = "reference",
        limit_train: Count | None = None,
        limit_valid: Count | None = None,
        limit_test: CountOrZero | None = None,
        cache_dir: Text | Path | None = None,
    ) -> None:
        super().__init__()
        if not shuffle and (bucket_by_length or batch_tokens is not None):
            raise InputError(
                "data.shuffle=false: the order of the file has no batches by length; leave "
                "data.batch_tokens at null and data.bucket_by_length at false"
            )
        self._tokenizer = tokenizer
        self.seed = seed
        self.batch_sizes = {"train": batch_size, "valid": valid_batch_size}
        self.batch_tokens = batch_tokens
        self.in_buckets = bucket_by_length or batch_tokens is not None
        self.max_length = max_length
        self.shuffle = shuffle
        self.round_up = round_up
        # Of the first two rows, of the last contexts.
        self.limits = {"train": limit_train, "valid": limit_valid, "test": limit_test}
        self.cache_dir = None if cache_dir is None else Path(cache_dir).expanduser()
        self._paths_read: dict[str, Path] = {}
        self._sha256: dict[Path, str] = {}
        self._examples: dict[str, list[Example]] = {}
        self._leaves_out = False  # whether limit_test cuts anything off
        self._encoded: dict[str, EncodedRows] = {}
        self._samplers: dict[str, BatchSampler] = {}
        self._sampler_states: dict[str, Any] = {}

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns texts into token ids."""
        assert self._tokenizer is not None
        return self._tokenizer

    def has(self, split: str) -> bool:
        """Whether the data set has this split at all; its file may still have to be downloaded."""
        return True

    @property
    def has_validation(self) -> bool:
        """Whether there are validation rows at all."""
        return self.has("valid")

    @abstractmethod
    def path(self, split: str) -> Path:
        """Return the path of a split's file, which is there or will be when this returns."""
        raise NotImplementedError

    @abstractmethod
    def read(self, path: Path) -> list[Example]:
        """Return the rows of a raw file."""
        raise NotImplementedError

    def files_of(self, path: Path) -> list[Path]:
        """Return the files that a split's path stands for; of most data sets, itself."""
        return [path]

    @property
    def reading(self) -> object:
        """What decides the rows that `read` returns beside the file itself, as JSON can hold it."""
        return None

    def examples(self, split: str) -> list[Example]:
        """Return the rows of a split, in the order of its file.

        Raises:
            InputError: unknown split, or its file cannot be found or read.
        """
        if split not in self._examples:
            examples = require_examples(self.read(self._found(split)), type(self).__name__)
            limit = self.limits[split]
            if split != "test":
                examples = examples[:limit]
            elif limit is not None:
                kept = first_contexts(examples, limit)
                self._leaves_out = len(kept) < len(examples)
                examples = kept
            self._examples[split] = examples
        return self._examples[split]

    def what_is_left_out(self, split: str) -> str | None:
        """Return why the rows of a split are not all of its file's test contexts; None: they are.

        Raises:
            InputError: as `examples`.
        """
        self.examples(split)
        if split != "test" or not self._leaves_out:
            return None
        return f"the first {self.limits['test']} contexts of the test set (data.limit_test)"

    def encoded(self, split: str) -> EncodedRows:
        """Return the token ids of the rows of a split, not cut.

        Raises:
            InputError: as `examples`, or a given token id is outside the vocabulary.
        """
        if split not in self._encoded:
            path = self._found(split)
            settings = [self.limits[split], self.reading]
            key = cache_key(self._checksum(path), type(self), self.tokenizer, settings)
            self._encoded[split] = cached_rows(
                self.cache_dir, key, lambda: self._encode(split), str(path)
            )
        return self._encoded[split]

    def _encode(self, split: str) -> EncodedRows:
        examples = self.examples(split)
        try:
            return EncodedRows.join(encode_examples(examples, self.tokenizer))
        except InputError as error:
            raise InputError(f"{self._found(split)}: {error}") from None

    def _found(self, split: str) -> Path:
        """Return the path of a split's file, and keep in mind that it is read."""
        if split not in SPLITS:
            raise InputError(f"split={split}: unknown; take one of {', '.join(SPLITS)}")
        if split not in self._paths_read:
            self._paths_read[split] = require_path(self.path(split), type(self).__name__)
        return self._paths_read[split]

    def _checksum(self, path: Path) -> str:
        if path not in self._sha256:
            self._sha256[path] = content_sha256(*self.files_of(path))
        return self._sha256[path]

    def contexts(self, split: str) -> list[Context]:
        """Return each distinct context of a split, in order of first appearance.

        Its id is the number of the row in which it appears first, from 0.

        Raises:
            InputError: as `encoded`.
        """
        first: dict[str | tuple[int, ...], int] = {}
        for row, example in enumerate(self.examples(split)):
            first.setdefault(example.context, row)
        return encode_contexts(((row, context) for context, row in first.items()), self.tokenizer)

    def cut_rows(self, split: str) -> tuple[int, int]:
        """Return (rows cut to `max_length`, all rows) of a split."""
        lengths = self.encoded(split).lengths
        return sum(length > self.max_length for length in lengths), len(lengths)

    def unlabelled_rows(self, split: str) -> tuple[int, int]:
        """Return (rows of whose completion `max_length` leaves nothing, all rows) of a split."""
        rows = self.encoded(split)
        return sum(not labels for labels in rows.labels(self.max_length)), len(rows)

    def checksums(self, *splits: str) -> dict[str, str]:
        """Return the SHA-256 of some splits' files, by default of every file read so far.

        It is that of the bytes inside where a file is `.gz`.
        """
        paths = [self._paths_read[split] for split in splits or self._paths_read]
        return {name_beside(path, paths): self._checksum(path) for path in paths}

    @property
    def batches_per_epoch(self) -> int:
        """Micro-batches in the training rows, over all ranks: rows / batch size, rounded up."""
        if self.in_buckets:
            return self._bucket_sampler(1, 0).batches_per_pass
        return number_of_batches(len(self.encoded("train")), self.batch_sizes["train"])

    def micro_batches(self, max_epochs: int, world_size: int) -> int:
        """Return the micro-batches per rank of a training run.

        With `shuffle` this is the reference's ceil(epochs · batches / world), which sets the
        length of its schedules although dropped short batches can make the run shorter.
        """
        if self.shuffle and not self.in_buckets:
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
        rows = RowDataset(self.encoded("train"), self.max_length)
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
            RowDataset(self.encoded(split), self.max_length),  # type: ignore[arg-type]
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
                f"data.{key}={self.batch_sizes[split]}: {len(self.encoded(split))} rows of"
                f" {split} give no batch to some of {world} ranks; lower it or use fewer devices"
            )
        sampler = self._make_sampler(split, world, rank)
        if split in self._sampler_states:
            sampler.load_state_dict(self._sampler_states[split])
        if split == "train" and not self.shuffle:
            _warn_of_dropped(self.batches_per_epoch % world)
        return sampler

    def _make_sampler(self, split: str, world: int, rank: int) -> BatchSampler:
        size, batch_size = len(self.encoded(split)), self.batch_sizes[split]
        training = split == "train"
        if training and self.in_buckets:
            return self._bucket_sampler(world, rank)
        if not self.shuffle or (self.round_up == "none" and not training):
            return InOrderBatchSampler(size, batch_size, world, rank, in_step=training)
        epoch = None if training else 0
        return ReferenceBatchSampler(
            size, batch_size, world, rank, self.seed, drop_last=training, fixed_epoch=epoch
        )

    def lengths(self, split: str) -> list[int]:
        """Return the tokens of each row of a split, after the cut."""
        return [min(length, self.max_length) for length in self.encoded(split).lengths]

    def _bucket_sampler(self, world: int, rank: int) -> BucketBatchSampler:
        size, tokens = self.batch_sizes["train"], self.batch_tokens
        return BucketBatchSampler(self.lengths("train"), size, tokens, world, rank, self.seed)


def _warn_of_dropped(batches: int) -> None:
    if batches:
        rank_zero_warn(
            f"data.shuffle=false: the last {batches} training batches are fewer than the ranks"
            " and are dropped, as ranks must step together"
        )
