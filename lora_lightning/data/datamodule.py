"""The rows of a data set as texts: read once, of the split that is asked for.

Nothing here knows torch or Lightning, so that scoring texts imports neither; `batches.py` makes of
rows what a training gets.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Literal

from lora_lightning.data.example import Example, first_contexts, require_examples, require_path
from lora_lightning.data.sources import content_sha256, name_beside
from lora_lightning.errors import InputError
from lora_lightning.ranges import Count, CountOrZero, Text, Tokens, ranged

SPLITS = ("train", "valid", "test")


@ranged("data")
class DataToTextModule:
    """A data set: its rows, and how they are to be batched; a subclass says where they come from.

    Only the files of the split asked for are read, once.

    Args:
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
        if not shuffle and (bucket_by_length or batch_tokens is not None):
            raise InputError(
                "data.shuffle=false: the order of the file has no batches by length; leave "
                "data.batch_tokens at null and data.bucket_by_length at false"
            )
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
            examples = require_examples(self.read(self.found(split)), type(self).__name__)
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

    def contexts(self, split: str) -> list[tuple[int, str | tuple[int, ...]]]:
        """Return each distinct context of a split, in order of first appearance.

        With it the number of the row in which it appears first, from 0.

        Raises:
            InputError: as `examples`.
        """
        first: dict[str | tuple[int, ...], int] = {}
        for row, example in enumerate(self.examples(split)):
            first.setdefault(example.context, row)
        return [(row, context) for context, row in first.items()]

    def found(self, split: str) -> Path:
        """Return the path of a split's file, and keep in mind that it is read.

        Raises:
            InputError: unknown split, or its file cannot be found.
        """
        if split not in SPLITS:
            raise InputError(f"split={split}: unknown; take one of {', '.join(SPLITS)}")
        if split not in self._paths_read:
            self._paths_read[split] = require_path(self.path(split), type(self).__name__)
        return self._paths_read[split]

    def checksum(self, split: str) -> str:
        """Return the SHA-256 of a split's file, of the bytes inside where it is `.gz`.

        Raises:
            InputError: as `found`, or it cannot be read.
        """
        return self._checksum(self.found(split))

    def checksums(self, *splits: str) -> dict[str, str]:
        """Return the SHA-256 of some splits' files, by default of every file read so far.

        It is that of the bytes inside where a file is `.gz`.
        """
        paths = [self._paths_read[split] for split in splits or self._paths_read]
        return {name_beside(path, paths): self._checksum(path) for path in paths}

    def _checksum(self, path: Path) -> str:
        if path not in self._sha256:
            self._sha256[path] = content_sha256(*self.files_of(path))
        return self._sha256[path]
